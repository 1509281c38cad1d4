"""What the fast lane takes for plain, and from whom."""

import json
from typing import Any

import pytest

from jobyard.http.fast_lane.lane import FastLane
from jobyard.http.parts import Parts
from jobyard.settings import Settings
from jobyard.settings.sections import ApiSettings
from tests.support import bad_tasks

PATH = b"/v1/tasks/bad.deed/jobs"
BODY = b'{"text":"hello"}'
PLAIN = {"host": "localhost:8000", "content_type": "application/json", "content_length": "16"}


def lane(**api: Any) -> FastLane:
    others: Any = (None,) * 5
    return FastLane(Parts(Settings(api=ApiSettings(**api)), *others))


def is_plain(
    *, path: bytes = PATH, method: bytes = b"POST", client: str = "127.0.0.1", keys: Any = (), **headers: str
) -> bool:
    named = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in (PLAIN | headers).items()
        if value
    ]
    return lane(keys=keys).task_of(method, path, named, client) is not None


def test_a_plain_request_is_taken() -> None:
    assert is_plain()
    assert is_plain(path=b"/email")
    assert is_plain(accept="*/*", user_agent="curl", origin="http://localhost:3000")


@pytest.mark.parametrize(
    "other",
    [
        {"path": PATH + b"?priority=9"},
        {"path": b"/v1/tasks/bad.old/jobs"},
        {"path": PATH + b"/bulk"},
        {"path": b"/v1/jobs"},
        {"method": b"PUT"},
        {"prefer": "wait=1"},
        {"idempotency_key": "k"},
        {"expect": "100-continue"},
        {"content_encoding": "gzip"},
        {"content_type": "application/json; charset=utf-8"},
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"content_length": ""},
        {"content_length": "0"},
        {"content_length": "99999999"},
        {"client": "192.0.2.1"},
        {"host": "example.org"},
        {"host": ""},
        {"origin": "https://example.org"},
        {"x_forwarded_for": "192.0.2.1"},
    ],
    ids=str,
)
def test_everything_else_is_left_to_fastapi(other: dict[str, Any]) -> None:
    assert not is_plain(**other)


def test_a_header_that_comes_twice_is_left_to_fastapi() -> None:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in PLAIN.items()]
    assert lane().task_of(b"POST", PATH, headers, "127.0.0.1")
    assert not lane().task_of(b"POST", PATH, [*headers, (b"host", b"localhost")], "127.0.0.1")


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"authorization": "Bearer right"}, True),
        ({"authorization": "bearer  right "}, True),
        ({"authorization": "Bearer right", "x_forwarded_for": "192.0.2.1"}, True),
        ({"x_api_key": "right"}, True),
        ({"authorization": "Bearer wrong"}, False),
        ({"authorization": "Basic right"}, False),
        ({"x_api_key": "wrong"}, False),
        ({}, False),
    ],
)
def test_with_keys_only_who_has_one_is_served(headers: dict[str, Any], is_taken: bool) -> None:
    taken = is_plain(client="192.0.2.1", host="example.org", keys=("other", "right"), **headers)
    assert taken is is_taken


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"nope":1}',
        b'{"text":"a\\u0000b"}',
        b'{"seconds":NaN}',
        b'{"seconds":1e999}',
        b'{"text":"Infinity"}',
        b'{"text":"\xff"}',
    ],
    ids=repr,
)
def test_a_body_that_takes_a_longer_look_is_left_to_fastapi(body: bytes) -> None:
    task = bad_tasks.deed.definition
    assert lane().job_of(task, BODY)
    assert lane().job_of(task, body) is None


def test_a_file_that_a_payload_names_is_looked_up_by_fastapi() -> None:
    task = lane().task_of(
        b"POST",
        b"/email",
        [(b"content-type", b"application/json"), (b"content-length", b"9"), (b"host", b"localhost")],
        "127.0.0.1",
    )
    assert task
    mail: dict[str, Any] = {"to": ["a@example.org"], "subject": "s", "text": "t"}
    assert lane().job_of(task, json.dumps(mail).encode())
    mail["attachments"] = [{"file": "01890a5d-ac96-774b-bcce-b302099a8057"}]
    assert lane().job_of(task, json.dumps(mail).encode()) is None
