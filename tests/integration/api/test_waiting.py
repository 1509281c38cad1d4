"""`Prefer: wait=N`: the answer comes when the job has ended, or when the time is up."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.api_calls import DEEDS, a_word, accepted, deed, raw


def waited(api: httpx.Client, prefer: str, body: Any = None, **options: Any) -> httpx.Response:
    return api.post(DEEDS, params=options, json=body or {}, headers={"Prefer": prefer})


def test_a_job_that_ends_in_time_is_answered_whole(api: httpx.Client) -> None:
    answer = waited(api, "wait=30", {"text": "soon"})
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["status"], job["result"]) == ("succeeded", {"said": "soon"})
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"


def test_a_job_that_dies_in_time_is_answered_with_its_failure(api: httpx.Client) -> None:
    answer = waited(api, "wait=30", {"then": "raise"})
    assert (answer.status_code, answer.json()["status"]) == (200, "dead")
    assert answer.json()["attempts"][0]["message"] == "as ordered"


def test_a_job_that_does_not_end_in_time_is_answered_as_it_stands(api: httpx.Client) -> None:
    answer = waited(api, "wait=1", delay=3600)
    assert accepted(answer)["status"] == "scheduled"
    assert answer.headers["preference-applied"] == "wait=1"


@pytest.mark.parametrize(
    "prefer", ["wait=30", "WAIT=30", 'wait="30"', "respond-async, wait=30", "handling=lenient; wait=30"]
)
def test_the_preference_may_be_written_in_other_ways(api: httpx.Client, prefer: str) -> None:
    assert waited(api, prefer).status_code == 200


@pytest.mark.parametrize("prefer", ["wait=0", "wait", "respond-async", "xwait=30", ""])
def test_who_does_not_ask_to_wait_is_answered_at_once(api: httpx.Client, prefer: str) -> None:
    answer = waited(api, prefer, {"then": "sleep", "seconds": 0.3})
    assert accepted(answer)["status"] == "queued"
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    "prefer", [b"wait=x", b"wait=", b"wait=-1", b"wait=1.5", b"wait=1s", b"wait=\xb2", b"wait=0x1"]
)
def test_a_time_that_is_none_is_ignored(api: httpx.Client, prefer: bytes) -> None:
    headers = [(b"Content-Type", b"application/json"), (b"Prefer", prefer)]
    answer = api.post(DEEDS, content=b'{"then": "sleep", "seconds": 0.3}', headers=headers)
    assert accepted(answer)["status"] == "queued"
    assert "preference-applied" not in answer.headers


def test_several_prefer_headers_are_one_list(api: httpx.Client) -> None:
    headers = [("Content-Type", "application/json"), ("Prefer", "respond-async"), ("Prefer", "wait=30")]
    assert api.post(DEEDS, content=b"{}", headers=headers).status_code == 200
    job_id = deed(api, then="sleep", seconds=0.3)
    assert api.get(f"/v1/jobs/{job_id}/result", headers=headers).status_code == 200


@pytest.mark.parametrize("seconds", ["600", "9" * 400])
def test_nobody_waits_longer_than_the_setting_allows(strict_api: httpx.Client, seconds: str) -> None:
    answer = waited(strict_api, f"wait={seconds}", delay=3600)
    assert accepted(answer)["status"] == "scheduled"
    assert answer.headers["preference-applied"] == "wait=1"


def test_a_result_can_be_waited_for(api: httpx.Client) -> None:
    job_id = deed(api, {"delay": "0.3"}, text="later")
    answer = api.get(f"/v1/jobs/{job_id}/result", headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.json()) == (200, {"said": "later"})
    # And where it has ended already, nobody waits.
    assert api.get(f"/v1/jobs/{job_id}/result", headers={"Prefer": "wait=30"}).status_code == 200


def test_a_repeated_request_waits_for_the_job_of_the_first(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": a_word()}
    first = raw(api, f"{DEEDS}?delay=0.5", b"{}", **headers)
    again = raw(api, f"{DEEDS}?delay=0.5", b"{}", **headers, Prefer="wait=30")
    assert accepted(first)["id"] == again.json()["id"]
    assert (again.status_code, again.json()["status"]) == (200, "succeeded")


def test_many_can_wait_at_once_and_each_gets_its_own_job(api: httpx.Client) -> None:
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda n: waited(api, "wait=60", {"text": f"job {n}"}), range(30)))
    assert [answer.status_code for answer in answers] == [200] * 30
    assert [answer.json()["result"]["said"] for answer in answers] == [f"job {n}" for n in range(30)]


def test_whoever_gives_up_waiting_leaves_the_job_and_the_others_alone(api: httpx.Client) -> None:
    tag = a_word()
    with pytest.raises(httpx.ReadTimeout):
        api.post(
            DEEDS, params={"tag": tag, "delay": "1"}, json={}, headers={"Prefer": "wait=60"}, timeout=0.3
        )
    [job] = api.get("/v1/jobs", params={"tag": tag}).json()["jobs"]
    answer = api.get(f"/v1/jobs/{job['id']}/result", headers={"Prefer": "wait=30"})
    assert answer.status_code == 200
