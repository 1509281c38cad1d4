"""Files: uploaded as a form or as the body itself, kept under generated names, and downloaded again."""

import socket
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase
from tests.support.api_calls import NOBODYS_ID, count_files, problem, stored_files
from tests.support.processes import YardProcesses

FILES = "/v1/files"
LIMIT = 100_000
CONTENT = bytes(range(256)) * 300
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
END = b"\r\n--x--\r\n"


def kept(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    assert answer.headers["location"] == told["links"]["self"] == f"{FILES}/{told['id']}"
    return told


def part(its_own: bytes, field: bytes = b"file") -> bytes:
    """Return a form of one part that holds `abc`, with whatever else its head says."""
    return b'--x\r\nContent-Disposition: form-data; name="%s"; %s\r\n\r\nabc%s' % (field, its_own, END)


def form(*chunks: bytes) -> Iterator[bytes]:
    """Yield a form with one file, in chunks that announce no length."""
    start, _, end = part(b'filename="a"').partition(b"abc")
    yield from (start, *chunks, end)


def test_the_body_itself_is_a_file(api: httpx.Client) -> None:
    told = kept(
        api.post(FILES, params={"name": "grün 1.bin"}, content=CONTENT, headers={"Content-Type": "image/png"})
    )
    assert (told["name"], told["media_type"], told["size"]) == ("grün 1.bin", "image/png", len(CONTENT))
    assert told["sha256"] == sha256(CONTENT).hexdigest()
    assert api.get(told["links"]["self"]).content == CONTENT


def test_a_form_holds_a_file_with_its_name_and_type(api: httpx.Client) -> None:
    told = kept(api.post(FILES, files={"file": ("grün.png", CONTENT, "image/png")}))
    assert (told["name"], told["media_type"], told["size"]) == ("grün.png", "image/png", len(CONTENT))
    assert api.get(told["links"]["self"]).content == CONTENT


def test_a_name_in_the_query_goes_before_the_forms(api: httpx.Client) -> None:
    assert kept(api.post(FILES, params={"name": "b"}, files={"file": ("a", b"1")}))["name"] == "b"


def test_a_file_without_a_name_or_type_is_bytes_called_file(api: httpx.Client) -> None:
    told = kept(api.post(FILES, content=b"abc"))
    assert (told["name"], told["media_type"]) == ("file", "application/octet-stream")


def test_a_file_may_come_in_chunks_of_no_announced_length(api: httpx.Client) -> None:
    for answer in (
        api.post(FILES, content=iter([b"a", b"", b"bc"])),
        api.post(FILES, content=form(b"a", b"bc"), headers=FORM),
    ):
        assert api.get(kept(answer)["links"]["self"]).content == b"abc"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b\\c", "..", "..\\x", "x" * 255])
def test_a_name_is_kept_and_is_never_a_path(api: httpx.Client, yard: YardProcesses, name: str) -> None:
    before = set(stored_files(yard.home))
    answers = [
        api.post(FILES, params={"name": name}, content=b"abc"),
        api.post(FILES, files={"file": (name, b"abc")}),
    ]
    assert {kept(answer)["name"] for answer in answers} == {name}
    stored = set(stored_files(yard.home)) - before
    assert {path.name for path in stored} == {kept(answer)["id"] for answer in answers}
    assert {path.parent.parent for path in stored} == {yard.home / "files"}


@pytest.mark.parametrize("name", ["a%00b", "a%0d%0aX-Evil:1", "a%7f", "", "x" * 256])
def test_a_name_with_control_characters_is_refused(
    api: httpx.Client, engine: LedgerDatabase, name: str
) -> None:
    before = count_files(engine)
    problem(api.post(f"{FILES}?name={name}", content=b"abc"), 422, "name")
    assert count_files(engine) == before


def test_control_characters_in_a_forms_file_name_are_left_out(api: httpx.Client) -> None:
    told = kept(api.post(FILES, content=part(b'filename="a\x00b\x1bc\xff"'), headers=FORM))
    assert told["name"].isprintable()
    assert told["name"].startswith("abc")


@pytest.mark.parametrize(
    "media_type", ["x" * 300, "text", "a b/c", "text/x\xff", "text/html\t; a=b, c/d", "/", "a/" + "b" * 200]
)
def test_a_media_type_that_is_none_is_not_kept(api: httpx.Client, media_type: str) -> None:
    told = kept(api.post(FILES, content=b"abc", headers=[(b"Content-Type", media_type.encode("latin-1"))]))
    assert told["media_type"] in ("application/octet-stream", "text/html")
    its_type = b'filename="a"\r\nContent-Type: ' + media_type.encode("latin-1")
    told = kept(api.post(FILES, content=part(its_type), headers=FORM))
    assert api.get(told["links"]["self"]).content == b"abc"


def test_a_download_cannot_run_as_a_page(api: httpx.Client) -> None:
    page = b"<script>alert(1)</script>"
    told = kept(
        api.post(FILES, params={"name": "a\";é'.html"}, content=page, headers={"Content-Type": "text/html"})
    )
    answer = api.get(told["links"]["self"])
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22%3B%C3%A9%27.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-length"] == str(len(page))
    assert answer.headers["etag"] == f'"{told["sha256"]}"'


def test_a_file_of_nobody_is_not_found(api: httpx.Client) -> None:
    problem(api.get(f"{FILES}/{NOBODYS_ID}"), 404, "file_id")


def test_a_file_of_no_bytes_is_refused_and_nothing_is_kept(api: httpx.Client, yard: YardProcesses) -> None:
    before = stored_files(yard.home)
    problem(api.post(FILES, content=b""), 422, "file")
    problem(api.post(FILES, files={"file": ("a", b"")}), 422, "file")
    problem(api.post(FILES, content=iter([b"", b""])), 422, "file")
    assert stored_files(yard.home) == before


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"abc", "multipart/form-data"),
        (b"abc", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data; boundary=x"),
        (part(b""), FORM["Content-Type"]),
        (part(b'filename="a"', field=b"other"), FORM["Content-Type"]),
        (part(b'filename="a"').removesuffix(END), FORM["Content-Type"]),
        (part(b'filename="a"').removesuffix(END) + b"\r\n" + part(b'filename="b"'), FORM["Content-Type"]),
    ],
)
def test_a_form_without_its_one_whole_file_is_refused(
    api: httpx.Client, engine: LedgerDatabase, body: bytes, media_type: str
) -> None:
    before = count_files(engine)
    problem(api.post(FILES, content=body, headers={"Content-Type": media_type}), 422, "file")
    assert count_files(engine) == before


def test_an_option_that_uploads_do_not_have_is_refused(api: httpx.Client) -> None:
    problem(api.post(FILES, params={"nmae": "x"}, content=b"abc"), 422, "nmae")


def test_a_file_may_be_as_large_as_the_limit(strict_api: httpx.Client) -> None:
    assert kept(strict_api.post(FILES, content=b"x" * LIMIT))["size"] == LIMIT
    assert kept(strict_api.post(FILES, files={"file": ("a", b"x" * LIMIT)}))["size"] == LIMIT


def test_a_file_that_is_too_large_is_refused_and_nothing_is_kept(
    strict_api: httpx.Client, strict_engine: LedgerDatabase, strict_yard: YardProcesses
) -> None:
    before = (count_files(strict_engine), sorted(stored_files(strict_yard.home)))
    for size in (LIMIT + 1, 50 * LIMIT):
        large = b"x" * size
        chunks = [large[start : start + 65_536] for start in range(0, size, 65_536)]
        problem(strict_api.post(FILES, content=large), 413, "file")
        problem(strict_api.post(FILES, content=iter(chunks)), 413, "file")
        problem(strict_api.post(FILES, files={"file": ("a", large)}), 413, "file")
        problem(strict_api.post(FILES, content=form(*chunks), headers=FORM), 413, "file")
    assert (count_files(strict_engine), sorted(stored_files(strict_yard.home))) == before


@pytest.mark.parametrize("media_type", ["application/octet-stream", FORM["Content-Type"]])
def test_an_upload_without_end_is_answered_at_the_limit(strict_yard: YardProcesses, media_type: str) -> None:
    head = (
        f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    start, *_ = form()
    with socket.create_connection(("127.0.0.1", strict_yard.port("API")), timeout=20) as connection:
        connection.sendall(head.encode())
        for chunk in (start, *[b"x" * 10_000] * 20):
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
