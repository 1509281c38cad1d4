"""`Idempotency-Key`: a request that is sent again, however often and however soon, is one job."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase
from tests.support.api_calls import (
    DEEDS,
    a_word,
    accepted,
    count_jobs,
    ended,
    nothing_accepted,
    problem,
    shown,
)


def sent(api: httpx.Client, key: str, body: Any, path: str = DEEDS, **options: Any) -> httpx.Response:
    return api.post(path, params=options, json=body, headers={"Idempotency-Key": key})


def test_the_same_request_with_the_same_key_is_the_same_job(
    api: httpx.Client, engine: LedgerDatabase
) -> None:
    key = a_word()
    first = sent(api, key, {"text": "once"}, tag=key)
    assert "jobyard-duplicate" not in first.headers
    job = ended(api, accepted(first)["id"])
    with nothing_accepted(engine):
        again = sent(api, key, {"text": "once"}, tag=key)
    assert accepted(again)["id"] == job["id"]
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["jobyard-duplicate"] == "repeated"
    assert accepted(again)["status"] == "succeeded"
    assert shown(api, job["id"])["attempt"] == 1


def test_the_same_payload_in_other_words_is_the_same_request(api: httpx.Client) -> None:
    key = a_word()
    first = sent(api, key, {"text": "x", "number": 0})
    again = sent(api, key, {"number": 0, "text": "x", "then": "return"})
    assert accepted(first)["id"] == accepted(again)["id"]


@pytest.mark.parametrize(
    ("path", "body", "options"),
    [
        (DEEDS, {"text": "two"}, {}),
        (DEEDS, {"text": "one"}, {"priority": 9}),
        (DEEDS, {"text": "one"}, {"tag": "x"}),
        ("/v1/tasks/bad.result/jobs", {"text": "one"}, {}),
    ],
)
def test_another_request_with_a_used_key_is_refused(
    api: httpx.Client, engine: LedgerDatabase, path: str, body: Any, options: dict[str, Any]
) -> None:
    key = a_word()
    accepted(sent(api, key, {"text": "one"}))
    with nothing_accepted(engine):
        told = problem(sent(api, key, body, path, **options), 422, "Idempotency-Key")
    assert told["type"] == "urn:jobyard:problem:idempotency-conflict"
    assert key in told["detail"]


def test_fifty_requests_at_once_are_one_job_and_fifty_equal_answers(
    api: httpx.Client, engine: LedgerDatabase
) -> None:
    key, before = a_word(), count_jobs(engine)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: sent(api, key, {"text": "once"}), range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1
    said = [
        (job["id"], job["task"], job["priority"], job["tags"], job["links"]) for job in map(accepted, answers)
    ]
    assert said == said[:1] * 50
    assert [answer.headers.get("jobyard-duplicate") for answer in answers].count(None) == 1
    assert count_jobs(engine) == before + 1
    assert ended(api, said[0][0])["attempt"] == 1


def test_of_two_requests_at_once_with_one_key_one_is_refused(
    api: httpx.Client, engine: LedgerDatabase
) -> None:
    before = count_jobs(engine)
    with ThreadPoolExecutor(20) as pool:
        for _ in range(5):
            key = a_word()
            answers = list(pool.map(lambda n, key=key: sent(api, key, {"number": n % 2}), range(20)))
            assert sorted(answer.status_code for answer in answers) == [202] * 10 + [422] * 10
    assert count_jobs(engine) == before + 5


def test_a_refused_request_does_not_use_up_its_key(api: httpx.Client) -> None:
    key = a_word()
    problem(sent(api, key, {"number": "x"}), 422, "number")
    accepted(sent(api, key, {"number": 1}))


def test_a_bulk_that_is_sent_again_is_the_same_jobs(api: httpx.Client, engine: LedgerDatabase) -> None:
    key, payloads = a_word(), [{"number": number} for number in range(20)]
    first = sent(api, key, payloads, f"{DEEDS}/bulk")
    with nothing_accepted(engine):
        again = sent(api, key, payloads, f"{DEEDS}/bulk")
        assert accepted(again) == accepted(first)
        problem(sent(api, key, payloads[::-1], f"{DEEDS}/bulk"), 422, "Idempotency-Key")
        problem(sent(api, key, payloads, f"{DEEDS}/bulk", priority=9), 422, "Idempotency-Key")


@pytest.mark.parametrize("other", [[1, 2, 3], [1], [3, 2, 4], [1, 2, 2, 2], [2, 1]])
def test_another_bulk_with_a_used_key_is_refused_whole(
    api: httpx.Client, engine: LedgerDatabase, other: list[int]
) -> None:
    key, bulk = a_word(), f"{DEEDS}/bulk"
    accepted(sent(api, key, [{"number": 1}, {"number": 2}], bulk))
    with nothing_accepted(engine):
        problem(sent(api, key, [{"number": number} for number in other], bulk), 422, "Idempotency-Key")


def test_bulks_at_once_with_one_key_are_the_jobs_of_one_of_them(
    api: httpx.Client, engine: LedgerDatabase
) -> None:
    key, before, bulk = a_word(), count_jobs(engine), f"{DEEDS}/bulk"
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: sent(api, key, [{"number": n % 2}] * (2 + n % 2), bulk), range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [422] * 10
    [ids] = {tuple(answer.json()["ids"]) for answer in answers if answer.status_code == 202}
    assert count_jobs(engine) == before + len(ids)


def test_a_key_may_be_as_long_as_the_ledger_takes(api: httpx.Client) -> None:
    key = a_word().ljust(255, "x")
    assert accepted(sent(api, key, {}))["id"] == accepted(sent(api, key, {}))["id"]
    bulk, key = f"{DEEDS}/bulk", key[:240]
    assert accepted(sent(api, key, [{}] * 3, bulk)) == accepted(sent(api, key, [{}] * 3, bulk))
    problem(sent(api, f"{key}x", [{}] * 3, bulk), 422, "Idempotency-Key")


def test_the_keys_of_bulks_and_of_single_jobs_do_not_meet(api: httpx.Client, engine: LedgerDatabase) -> None:
    key, before = a_word(), count_jobs(engine)
    accepted(sent(api, key, [{"number": 1}], f"{DEEDS}/bulk"))
    for other in (key, f"{key}#0", f"{key}0"):
        accepted(sent(api, other, {"number": 2}))
    assert count_jobs(engine) == before + 4
