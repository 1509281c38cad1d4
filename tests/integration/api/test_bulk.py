"""Many jobs in one call: all of them or none, in the order of the payloads."""

import json

import httpx
import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase
from tests.support.api_calls import (
    DEEDS,
    MAILS,
    a_word,
    accepted,
    count_jobs,
    ended,
    mail_body,
    nothing_accepted,
    problem,
    raw,
    shown,
)

BULK = f"{DEEDS}/bulk"
NDJSON = {"Content-Type": "application/x-ndjson"}


def test_an_array_of_payloads_is_accepted_in_its_order(api: httpx.Client, engine: LedgerDatabase) -> None:
    before, tag = count_jobs(engine), a_word()
    told = accepted(
        api.post(BULK, params={"tag": tag, "priority": 8}, json=[{"number": n} for n in range(1500)])
    )
    assert told["accepted"] == len(set(told["ids"])) == 1500
    assert count_jobs(engine) == before + 1500
    some = [shown(api, told["ids"][place]) for place in (0, 700, 1499)]
    assert [job["payload"]["number"] for job in some] == [0, 700, 1499]
    assert {(job["priority"], *job["tags"]) for job in some} == {(8, tag)}
    assert [ended(api, job["id"])["status"] for job in some] == ["succeeded"] * 3


@pytest.mark.parametrize(
    "media_type", ["application/x-ndjson", "application/jsonl", "application/x-jsonlines"]
)
def test_a_payload_a_line_is_accepted_and_empty_lines_are_nothing(api: httpx.Client, media_type: str) -> None:
    body = b'{"number": 1}\r\n\n{"number": 2}\n   \n{"number": 3}'
    told = accepted(api.post(BULK, params={"delay": 60}, content=body, headers={"Content-Type": media_type}))
    assert [shown(api, job_id)["payload"]["number"] for job_id in told["ids"]] == [1, 2, 3]


def test_one_payload_is_a_bulk_too_and_may_have_a_unique_key(api: httpx.Client) -> None:
    key = a_word()
    told = accepted(api.post(BULK, params={"unique_key": key, "delay": 60}, json=[{}]))
    again = accepted(api.post(BULK, params={"unique_key": key, "delay": 60}, json=[{}]))
    assert told == again


def test_a_unique_key_for_many_payloads_is_refused(api: httpx.Client, engine: LedgerDatabase) -> None:
    with nothing_accepted(engine):
        problem(api.post(BULK, params={"unique_key": a_word()}, json=[{}, {}]), 422, "unique_key")


def test_where_one_payload_is_wrong_none_is_accepted_and_every_place_is_named(
    api: httpx.Client, engine: LedgerDatabase
) -> None:
    payloads = [{}, {"number": "x"}, {}, {"nope": 1, "then": "dance"}]
    lines = "\n".join(json.dumps(payload) for payload in payloads)
    with nothing_accepted(engine):
        told = problem(api.post(BULK, json=payloads), 422, "1.number")
        assert {error["field"] for error in told["errors"]} == {"1.number", "3.nope", "3.then"}
        told = problem(api.post(BULK, content=lines, headers=NDJSON), 422, "line 2.number")
        assert {error["field"] for error in told["errors"]} == {"line 2.number", "line 4.nope", "line 4.then"}


def test_a_thousand_wrong_payloads_are_answered_with_the_first_hundred(
    api: httpx.Client, engine: LedgerDatabase
) -> None:
    with nothing_accepted(engine):
        told = problem(api.post(BULK, json=[{"number": "x"}] * 1000), 422, "0.number")
    assert len(told["errors"]) == 100
    assert "999 more" in told["detail"]


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b'"x"'])
def test_a_body_without_a_payload_is_refused(api: httpx.Client, engine: LedgerDatabase, body: bytes) -> None:
    with nothing_accepted(engine):
        problem(raw(api, BULK, body), 422, "body")
        problem(api.post(BULK, content=b"\n\n", headers=NDJSON), 422, "body")


@pytest.mark.parametrize("line", [b"nope", b'{"seconds": NaN}', b'{"text": "\xff"}', rb'{"text": "\ud800"}'])
def test_a_line_that_is_no_json_is_named(api: httpx.Client, engine: LedgerDatabase, line: bytes) -> None:
    with nothing_accepted(engine):
        problem(api.post(BULK, content=b"{}\n\n" + line, headers=NDJSON), 400, "line 3")
        problem(raw(api, BULK, b"[{}, " + line + b"]"), 400, "body")


def test_a_line_by_itself_is_not_read_as_a_single_job(api: httpx.Client, engine: LedgerDatabase) -> None:
    with nothing_accepted(engine):
        problem(api.post(DEEDS, content=b"{}\n{}", headers=NDJSON), 415, "Content-Type")


def test_more_payloads_than_the_limit_are_refused(
    strict_api: httpx.Client, strict_engine: LedgerDatabase
) -> None:
    with nothing_accepted(strict_engine):
        for count in (6, 10_000):
            assert "at most 5" in problem(strict_api.post(BULK, json=[{}] * count), 422, "body")["detail"]
            told = problem(strict_api.post(BULK, content=b"{}\n" * count, headers=NDJSON), 422, "body")
            assert "at most 5" in told["detail"]
    assert accepted(strict_api.post(BULK, json=[{}] * 5))["accepted"] == 5


def test_a_bulk_body_has_a_limit_of_its_own(strict_api: httpx.Client, strict_engine: LedgerDatabase) -> None:
    one = json.dumps({"text": "x" * 9_000}).encode()
    with nothing_accepted(strict_engine):
        problem(raw(strict_api, DEEDS, b" " * 20_001), 413, "body")
        problem(raw(strict_api, BULK, b"[" + b",".join([one] * 6) + b"]"), 413, "body")
    # 45 kB: more than one job's body may have, and less than a bulk's.
    assert accepted(raw(strict_api, BULK, b"[" + b",".join([one] * 5) + b"]"))["accepted"] == 5


def test_the_files_of_every_payload_are_looked_for(api: httpx.Client, engine: LedgerDatabase) -> None:
    file_id = api.post("/v1/files", content=b"abc").json()["id"]
    right = mail_body(attachments=[{"file": file_id}])
    wrong = mail_body(attachments=[{"file": file_id.replace("0", "f")}])
    with nothing_accepted(engine):
        problem(raw(api, f"{MAILS}/bulk", b"[" + right + b"," + wrong + b"]"), 422, "1.attachments.0.file")
    assert accepted(raw(api, f"{MAILS}/bulk?delay=3600", b"[" + right + b"]"))["accepted"] == 1
