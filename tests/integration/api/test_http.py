"""HTTP as clients speak it: HEAD, a byte order mark, headers given twice, a plus in a query."""

import json
import socket
from typing import Any

import httpx
import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase
from tests.support.api_calls import (
    DEEDS,
    MAILS,
    a_word,
    accepted,
    deed,
    ended,
    nothing_accepted,
    problem,
    raw,
)

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/v1/jobs", "/v1/tasks", "/v1/jobs/export", "/nothing"]
)
def test_head_is_answered_like_get_without_the_body(api: httpx.Client, path: str) -> None:
    deed(api)
    got, told = api.get(path), api.head(path)
    assert told.status_code == got.status_code
    assert told.headers["content-type"] == got.headers["content-type"]
    assert told.content == b""
    assert api.head(path).status_code == got.status_code, "and the connection goes on"


def test_head_of_a_file_tells_its_size(api: httpx.Client) -> None:
    file_id = api.post("/v1/files", content=b"x" * 1_000_000).json()["id"]
    told = api.head(f"/v1/files/{file_id}")
    assert (told.headers["content-length"], told.content) == ("1000000", b"")


def test_head_is_no_way_to_hand_in(api: httpx.Client) -> None:
    assert api.head(DEEDS).status_code == 405


def test_a_byte_order_mark_is_no_part_of_the_json(api: httpx.Client) -> None:
    job = ended(api, accepted(raw(api, DEEDS, BOM + b'{"text": "marked"}'))["id"])
    assert job["result"] == {"said": "marked"}
    assert accepted(raw(api, f"{DEEDS}/bulk", BOM + b"[{}, {}]"))["accepted"] == 2
    lines = api.post(
        f"{DEEDS}/bulk", content=BOM + b"{}\n{}", headers={"Content-Type": "application/x-ndjson"}
    )
    assert accepted(lines)["accepted"] == 2


@pytest.mark.parametrize("name", ["Idempotency-Key", "Content-Type", "X-API-Key", "Authorization"])
@pytest.mark.parametrize("path", [DEEDS, f"{DEEDS}/bulk"])
def test_a_header_that_is_given_twice_is_refused(
    api: httpx.Client, engine: LedgerDatabase, name: str, path: str
) -> None:
    headers = [("Content-Type", "application/json")] * (name != "Content-Type")
    headers += [(name, "application/json" if name == "Content-Type" else a_word()) for _ in range(2)]
    with nothing_accepted(engine):
        told = problem(api.post(path, content=b"{}", headers=headers), 400, name)
    assert "once" in told["detail"]


def test_a_request_for_two_hosts_is_refused(api: httpx.Client, engine: LedgerDatabase) -> None:
    head = f"POST {DEEDS} HTTP/1.1\r\nHost: localhost\r\nHost: other.example\r\n"
    rest = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    with nothing_accepted(engine), socket.create_connection(("127.0.0.1", api.base_url.port or 80)) as caller:
        caller.sendall((head + rest).encode())
        assert caller.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_compressed_body_is_refused(api: httpx.Client, engine: LedgerDatabase) -> None:
    with nothing_accepted(engine):
        answer = raw(api, DEEDS, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
        problem(answer, 415, "Content-Encoding")
    assert accepted(raw(api, DEEDS, b"{}", **{"Content-Encoding": "identity"}))


@pytest.mark.parametrize("time", ["2026-01-01T00:00:00 02:00", "2026-01-01t00:00:00.5 0200"])
def test_a_plus_that_became_a_space_is_named(api: httpx.Client, time: str) -> None:
    told = problem(api.get("/v1/jobs", params={"since": time}), 422, "since")
    assert f"%2B: {time.replace(' ', '%2B')}" in told["detail"]
    whole = told["detail"].rpartition(": ")[2]
    assert api.get(f"/v1/jobs?since={whole}").status_code == 200


@pytest.mark.parametrize("time", ["2026-01-01 00:00", "yesterday", "a b", "2026-01-01T00:00:00 "])
def test_any_other_wrong_time_is_given_no_such_advice(api: httpx.Client, time: str) -> None:
    assert "%2B" not in problem(api.get("/v1/jobs", params={"since": time}), 422, "since")["detail"]


def test_a_forms_type_may_have_parameters(api: httpx.Client) -> None:
    part = {"file": ("x.csv", b"a,b", "text/csv; charset=utf-8")}
    assert api.post("/v1/files", files=part).json()["media_type"] == "text/csv"


@pytest.mark.parametrize(
    ("option", "value", "example"),
    [
        ("since", "2026-11-01", "2030-01-31T12:00:00Z"),
        ("until", "yesterday", "2030-01-31T12:00:00Z"),
        ("ended_since", "2026-11-01T00:00:00", "2030-01-31T12:00:00Z"),
    ],
)
def test_a_time_that_cannot_be_read_is_answered_with_one_that_can(
    api: httpx.Client, option: str, value: str, example: str
) -> None:
    assert example in problem(api.get("/v1/jobs", params={option: value}), 422, option)["detail"]


@pytest.mark.parametrize("value", ["1h", "xx", "P"])
def test_a_duration_that_cannot_be_read_is_answered_with_one_that_can(api: httpx.Client, value: str) -> None:
    answer = api.post(DEEDS, params={"expires_in": value}, json={})
    assert "PT1M30S" in problem(answer, 422, "expires_in")["detail"]


@pytest.mark.parametrize(
    ("media_type", "field"), [("application/json", "body"), ("application/x-ndjson", "line 1")]
)
def test_a_bulk_call_of_very_many_values_is_refused_before_it_is_read(
    api: httpx.Client, engine: LedgerDatabase, media_type: str, field: str
) -> None:
    payload = b'{"tags": [' + b"{}," * 600_000 + b"{}]}"
    body = b"[" + payload + b"]" if field == "body" else payload
    with nothing_accepted(engine):
        answer = api.post(f"{DEEDS}/bulk", content=body, headers={"Content-Type": media_type})
        told = problem(answer, 422, field)
    assert "1000000 values" in told["detail"]


def many_fields(count: int) -> dict[str, Any]:
    return {f"unknown{number}": 1 for number in range(count)}


def test_a_body_of_unknown_fields_is_refused_with_the_first_hundred(
    api: httpx.Client, engine: LedgerDatabase
) -> None:
    wrong = many_fields(40_000)
    lines = {"Content-Type": "application/x-ndjson"}
    bodies = {
        "unknown0": api.post(DEEDS, json=wrong),
        "1.unknown0": api.post(f"{DEEDS}/bulk", json=[{}, *[many_fields(100_000)] * 2]),
        "line 2.unknown0": api.post(f"{DEEDS}/bulk", content=f"{{}}\n{json.dumps(wrong)}", headers=lines),
        "attachments.0.unknown0": api.post(
            MAILS, json={"to": "a@example.org", "subject": "x", "attachments": [wrong]}
        ),
    }
    for field, answer in bodies.items():
        with nothing_accepted(engine):
            told = problem(answer, 422, field)
        assert len(told["errors"]) == 100
    assert accepted(api.post(MAILS, json={"to": "a@example.org", "subject": "x", "text": ":" * 10_000}))
