"""Requests that are refused: each with its status, a problem that names the field, and no job written."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase
from tests.support.api_calls import (
    DEEDS,
    MAILS,
    NOBODYS_ID,
    mail_body,
    nested,
    nothing_accepted,
    problem,
    raw,
)
from tests.support.processes import YardProcesses
from tests.support.waiting import wait_until

MEGABYTE = 1024 * 1024
COLLECT = "/v1/tasks/page.collect/jobs"
IMAGES = "/v1/tasks/image.convert/jobs"


@pytest.fixture(autouse=True)
def _no_job_is_written(engine: LedgerDatabase) -> Iterator[None]:
    with nothing_accepted(engine):
        yield


def test_an_unknown_task_is_named_with_those_that_there_are(api: httpx.Client) -> None:
    for path in ("/v1/tasks/no.such/jobs", "/v1/tasks/no%00such/jobs", "/v1/tasks/no.such/jobs/bulk"):
        told = problem(api.post(path, json={}), 404, "task")
        assert "bad.deed" in told["detail"]


def test_housekeeping_is_not_handed_in_by_callers(api: httpx.Client) -> None:
    for name, payload in (("upkeep.prune", {"keep": "PT1M"}), ("upkeep.heartbeat", {})):
        for path, body in (("jobs", payload), ("jobs/bulk", [payload])):
            told = problem(api.post(f"/v1/tasks/{name}/{path}", json=body), 403, "task")
            assert "JOBYARD_LEDGER__RETENTION" in told["detail"]
    assert "upkeep." not in api.get("/openapi.json").text
    assert "upkeep." not in api.get("/v1/tasks").text


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (MAILS, mail_body(subject=None), "subject"),
        (DEEDS, b'{"nope": 1}', "nope"),
        (DEEDS, b'{"number": "many"}', "number"),
        (DEEDS, b'{"number": 1.5}', "number"),
        (DEEDS, b'{"text": {"a": 1}}', "text"),
        (DEEDS, b'{"then": "dance"}', "then"),
        (DEEDS, b'{"text": null}', "text"),
        (DEEDS, b"null", "body"),
        (DEEDS, b"[]", "body"),
        (DEEDS, b"1", "body"),
        (MAILS, mail_body(to=None), "body"),
        (MAILS, mail_body(text=None), "body"),
        (MAILS, mail_body(template="welcome"), "body"),
        (IMAGES, b'{"source": {}, "outputs": [{"format": "webp"}]}', "source"),
        (IMAGES, b'{"source": {"url": "https://example.org/"}, "outputs": []}', "outputs"),
        (
            IMAGES,
            b'{"source": {"url": "https://example.org/"}, "outputs": [{"format": "bmp"}]}',
            "outputs.0.format",
        ),
    ],
)
def test_a_payload_that_is_no_such_payload(api: httpx.Client, path: str, body: bytes, field: str) -> None:
    problem(raw(api, path, body), 422, field)


def test_every_wrong_field_is_named_at_once(api: httpx.Client) -> None:
    told = problem(raw(api, DEEDS, b'{"number": "x", "then": "dance", "nope": 1}'), 422, "number")
    assert {error["field"] for error in told["errors"]} == {"number", "then", "nope"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (DEEDS, b""),
        (DEEDS, b"hello"),
        (DEEDS, b'{"text": "x"'),
        (DEEDS, b'{"text": "x",}'),
        (DEEDS, b"{} {}"),
        (DEEDS, '{"text": "x"}'.encode("utf-16")),
        (DEEDS, b'{"text": "\xff"}'),
        (DEEDS, b'{"text": "\xed\xa0\x80"}'),
        (DEEDS, rb'{"text": "\ud800"}'),
        (DEEDS, rb'{"\ud800": 1}'),
        (DEEDS, rb'{"text": "\udc00\ud800"}'),
        (MAILS, mail_body(template="welcome", text=None, variables=rb'{"name": "\ud800"}')),
        (DEEDS, b'{"seconds": NaN}'),
        (DEEDS, b'{"seconds": Infinity}'),
        (DEEDS, b'{"seconds": -Infinity}'),
        (MAILS, mail_body(template="welcome", text=None, variables=b'{"name": NaN}')),
        (MAILS, mail_body(template="welcome", text=None, variables=b'{"name": [-Infinity]}')),
        (DEEDS, b'{"number": ' + b"9" * 5000 + b"}"),
        (DEEDS, nested(100_000)),
        (DEEDS, b"[" * 100_000),
        (DEEDS, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        (MAILS, mail_body(template="welcome", text=None, variables=b'{"deep": ' + nested(100_000) + b"}")),
        (f"{MAILS}/bulk", b"[" + mail_body(template="welcome", text=None, variables=nested(100_000)) + b"]"),
    ],
)
def test_a_body_that_is_no_json(api: httpx.Client, path: str, body: bytes) -> None:
    problem(raw(api, path, body), 400, "body")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (DEEDS, b'{"seconds": 1e999}', "seconds"),
        (MAILS, mail_body(template="welcome", text=None, variables=b'{"n": 1e999}'), "variables"),
        (f"{DEEDS}/bulk", b'[{}, {"seconds": 1e999}]', "1.seconds"),
    ],
)
def test_a_number_too_large_to_be_kept(api: httpx.Client, path: str, body: bytes, field: str) -> None:
    problem(raw(api, path, body), 422, field)


def test_a_body_of_fifty_megabytes_is_refused_whether_it_is_announced_or_not(api: httpx.Client) -> None:
    body = b'"' + b"x" * (50 * MEGABYTE) + b'"'
    for path in (DEEDS, f"{DEEDS}/bulk", "/email", "/v1/dead-letters/replay"):
        problem(raw(api, path, body), 413, "body")
        chunks = (body[start : start + MEGABYTE] for start in range(0, len(body), MEGABYTE))
        problem(raw(api, path, chunks), 413, "body")
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_that_does_not_say_that_it_is_json(api: httpx.Client, media_type: str) -> None:
    for path in (DEEDS, f"{DEEDS}/bulk", "/email", "/v1/dead-letters/replay"):
        problem(api.post(path, content=b"{}", headers={"Content-Type": media_type}), 415, "Content-Type")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("nope=1", "nope"),
        ("prioritee=1", "prioritee"),
        ("tags=x", "tags"),
        ("priority=11", "priority"),
        ("priority=10", "priority"),
        ("priority=-1", "priority"),
        ("priority=x", "priority"),
        ("priority=1.5", "priority"),
        ("priority=", "priority"),
        ("priority=1&priority=2", "priority"),
        ("queue=nope", "queue"),
        ("queue=email&queue=email", "queue"),
        ("run_at=9999-12-31T23:59:59Z", "run_at"),
        ("run_at=9999-12-31T23:59:59-14:00", "run_at"),
        ("run_at=9999-01-01T00:00:00Z&expires_in=5", "run_at"),
        ("run_at=2001-01-01T00:00:00", "run_at"),
        ("run_at=tomorrow", "run_at"),
        ("run_at=1900000000", "run_at"),
        ("run_at=2001-02-30T00:00:00Z", "run_at"),
        ("delay=5&run_at=2001-01-01T00:00:00Z", "run_at"),
        ("delay=0&run_at=2001-01-01T00:00:00Z", "run_at"),
        ("delay=-1", "delay"),
        ("delay=99999999", "delay"),
        ("delay=P999999999D", "delay"),
        ("delay=inf", "delay"),
        ("delay=nan", "delay"),
        ("delay=1e300", "delay"),
        ("delay=soon", "delay"),
        ("delay=1&delay=2", "delay"),
        ("expires_in=0", "expires_in"),
        ("expires_in=5&delay=10", "expires_in"),
        ("expires_in=99999999", "expires_in"),
        ("max_attempts=0", "max_attempts"),
        ("max_attempts=101", "max_attempts"),
        ("unique_key=", "unique_key"),
        ("unique_key=a%20b", "unique_key"),
        ("unique_key=a%00b", "unique_key"),
        ("unique_key=" + "x" * 256, "unique_key"),
        ("tag=", "tag.0"),
        ("tag=ok&tag=" + "x" * 101, "tag.1"),
        ("tag=a%00b", "tag.0"),
        ("tag=a,b", "tag.0"),
        ("&".join(f"tag={number}" for number in range(21)), "tag"),
    ],
)
def test_an_option_that_is_wrong(api: httpx.Client, query: str, field: str) -> None:
    for path in (DEEDS, "/v1/tasks/bad.old/jobs"):
        problem(raw(api, f"{path}?{query}", b"{}"), 422, field)
    problem(raw(api, f"{DEEDS}/bulk?{query}", b"[{}]"), 422, field)


def test_an_unknown_option_is_answered_with_those_that_there_are(api: httpx.Client) -> None:
    assert "priority" in problem(raw(api, f"{DEEDS}?prioritee=1", b"{}"), 422, "prioritee")["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tasks",
        "/v1/queues",
        "/v1/workers",
        "/v1/jobs",
        "/v1/dead-letters",
        f"/v1/jobs/{NOBODYS_ID}/result",
    ],
)
def test_no_path_ignores_an_option_that_it_does_not_have(api: httpx.Client, path: str) -> None:
    problem(api.get(path, params={"nope": "1"}), 422, "nope")


def with_key(key: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Content-Type", b"application/json"), (b"Idempotency-Key", key)]


@pytest.mark.parametrize("key", ["", "a b", "a\tb", "ü", "x" * 256])
def test_an_idempotency_key_that_is_no_key(api: httpx.Client, key: str) -> None:
    answer = api.post(DEEDS, content=b"{}", headers=with_key(key.encode()))
    problem(answer, 422, "Idempotency-Key")


def test_a_control_character_in_a_header_is_no_http(api: httpx.Client) -> None:
    # Refused below us, by the server's own parser.
    answer = api.post(DEEDS, content=b"{}", headers=with_key(b"a\x01b"))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subject": "Hello\r\nBcc: eve@example.org"}, "subject"),
        ({"subject": "Hello\nWorld"}, "subject"),
        ({"to": "ada@example.org\r\nBcc: eve@example.org"}, "to.0"),
        ({"reply_to": "ada@example.org\nX: y"}, "reply_to"),
        ({"subject": "a\x00b"}, "subject"),
        ({"text": "a\x00b"}, "text"),
        ({"to": "a\x00@example.org"}, "to.0"),
        ({"template": "welcome", "text": None, "variables": {"a\x00": 1}}, "variables"),
        ({"template": "welcome", "text": None, "variables": {"a": [{"b": "\x00"}]}}, "variables"),
        ({"template": "../../etc/passwd", "text": None}, "template"),
        ({"to": [f"a{number}@example.org" for number in range(10_000)]}, "to"),
        ({"bcc": [f"a{number}@example.org" for number in range(101)]}, "bcc"),
        ({"to": "nobody"}, "to.0"),
        ({"attachments": [{"file": NOBODYS_ID}]}, "attachments.0.file"),
        ({"attachments": [{"file": "../../etc/passwd"}]}, "attachments.0.file"),
    ],
)
def test_a_mail_that_cannot_be_sent(api: httpx.Client, changes: dict[str, Any], field: str) -> None:
    for path in (MAILS, "/email"):
        problem(raw(api, path, mail_body(**changes)), 422, field)


def test_a_name_that_holds_a_nul_is_quoted_and_nothing_more(api: httpx.Client) -> None:
    problem(raw(api, DEEDS, rb'{"a\u0000b": 1}'), 422, "a\x00b")


def test_a_file_of_nobody_and_a_name_with_a_path_are_refused_for_pictures(api: httpx.Client) -> None:
    outputs = [{"format": "webp"}]
    problem(
        api.post("/images", json={"source": {"file": NOBODYS_ID}, "outputs": outputs}), 422, "source.file"
    )
    source = {"url": "https://example.org/a.png"}
    for name in ("../a", "/etc/passwd", "a\\b", "a\nb"):
        order = {"source": source, "outputs": [{"format": "webp", "name": name}]}
        problem(api.post("/images", json=order), 422, "outputs.0.name")


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0/", "http://[::1]/"),
        *("http://[::ffff:169.254.169.254]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/"),
        *("http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/"),
        *("file:///etc/passwd", "gopher://example.org/", "javascript:1", "//example.org/", "", "http://"),
        *("http://user:secret@example.org/", "http://example.org/" + "a" * 2000, "http://\x00/"),
    ],
)
def test_an_address_that_is_not_public(
    strict_api: httpx.Client, strict_engine: LedgerDatabase, url: str
) -> None:
    with nothing_accepted(strict_engine):
        problem(strict_api.post("/collect", json={"url": url}), 422, "url")
        problem(strict_api.post(COLLECT, json={"url": url}), 422, "url")
        order = {"source": {"url": url}, "outputs": [{"format": "webp"}]}
        problem(strict_api.post("/images", json=order), 422, "source.url")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        *((name, 404) for name in ("x", "00", "%2e%2e", "01890a5d-ac96-774b-bcce-b302099a805g", quote("ü"))),
        *((name, 422) for name in ("%00", "%0a", "x" * 256)),
    ],
)
def test_an_id_that_is_no_id(api: httpx.Client, wrong: str, status: int) -> None:
    for answer in (
        api.get(f"/v1/jobs/{wrong}"),
        api.get(f"/v1/jobs/{wrong}/result"),
        api.post(f"/v1/jobs/{wrong}/cancel"),
        api.post(f"/v1/jobs/{wrong}/replay"),
    ):
        problem(answer, status, "job_id")
    problem(api.get(f"/v1/files/{wrong}"), 422, "file_id")


def test_a_path_that_is_none_and_a_method_that_is_none_are_problems_too(api: httpx.Client) -> None:
    problem(api.get("/v1/nope"), 404, "path")
    problem(api.put("/v1/jobs", json={}), 405, "method")


@pytest.mark.parametrize("path", ["/v1/tasks/bad.validator/jobs", "/v1/tasks/bad.validator/jobs?priority=3"])
@pytest.mark.parametrize("raised", ["KeyError", "RecursionError"])
def test_a_fault_of_a_payloads_own_validator_is_a_500_with_its_traceback_in_the_log(
    api: httpx.Client, worker: YardProcesses, path: str, raised: str
) -> None:
    [log] = [program for program in worker.programs if program.name == "api"]
    before = len(log.output())
    told = problem(api.post(path, json={"raises": raised}), 500, None)
    assert "its log has the traceback" in told["detail"]
    wait_until(lambda: f"{raised}: " in log.output()[before:], 5, "the traceback")
    assert "a validator's own fault" in log.output()[before:]


def test_what_a_validator_asserts_is_the_callers_fault(api: httpx.Client) -> None:
    problem(api.post("/v1/tasks/bad.validator/jobs", json={"raises": "AssertionError"}), 422, "raises")


def test_of_a_large_body_few_errors_are_built_and_sent(api: httpx.Client) -> None:
    many = {"subject": "x", "text": "y", "to": ["a"] * 200_000}
    told = problem(api.post(MAILS, json=many), 422, "to.0")
    assert len(told["errors"]) == 1


def test_of_a_large_bulk_a_hundred_wrong_payloads_are_named_or_else_the_first(api: httpx.Client) -> None:
    wrong, right = {"number": "x"}, {"then": "return", "text": "x" * 100}
    some = [right] * 200 + [wrong] * 300
    told = problem(api.post(f"{DEEDS}/bulk", json=some), 422, "200.number")
    assert [error["field"] for error in told["errors"]] == [f"{200 + number}.number" for number in range(100)]
    assert "(and 299 more)" in told["detail"]
    told = problem(
        api.post(f"{DEEDS}/bulk", json=[right] * 7 + [{"number": "x", "no": 1}] * 3000), 422, "7.number"
    )
    assert [error["field"] for error in told["errors"]] == ["7.number", "7.no"]
    lines = b"\n".join([b'{"number": "x"}'] * 5000)
    headers = {"Content-Type": "application/x-ndjson"}
    told = problem(api.post(f"{DEEDS}/bulk", content=lines, headers=headers), 422, "line 1.number")
    assert len(told["errors"]) == 100
