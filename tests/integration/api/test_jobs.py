"""Finding jobs, reading them and their results, cancelling and replaying them."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from jobyard.jobs.job import Failed, Status
from jobyard.jobs.ledger import Ledger
from tests.support.api_calls import DEEDS, NOBODYS_ID, a_word, accepted, deed, ended, problem, raw, shown
from tests.support.ledger_jobs import FAILURE, claimed, dead
from tests.support.ledger_jobs import accepted as accepted_in
from tests.support.waiting import wait_until


def listed(api: httpx.Client, **query: Any) -> list[str]:
    answer = api.get("/v1/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def test_a_job_that_was_never_accepted_is_not_found(api: httpx.Client) -> None:
    problem(api.get(f"/v1/jobs/{NOBODYS_ID}"), 404, "job_id")
    problem(api.get(f"/v1/jobs/{NOBODYS_ID}/result"), 404, "job_id")
    problem(api.post(f"/v1/jobs/{NOBODYS_ID}/cancel"), 404, "job_id")
    problem(api.post(f"/v1/jobs/{NOBODYS_ID}/replay"), 404, "job_id")


def test_an_id_may_be_written_in_other_ways(api: httpx.Client) -> None:
    job_id = deed(api)
    for written in (job_id.upper(), job_id.replace("-", "")):
        assert shown(api, written)["id"] == job_id


def test_a_job_shows_the_attempts_that_failed(api: httpx.Client) -> None:
    job = ended(api, deed(api, {"max_attempts": 2}, then="fail"))
    assert (job["status"], job["attempt"]) == ("dead", 2)
    assert [(one["attempt"], one["type"]) for one in job["attempts"]] == [
        (1, "TemporaryError"),
        (2, "TemporaryError"),
    ]
    assert all("TemporaryError" in one["traceback"] for one in job["attempts"])
    assert job["failure"] == {"cause": "exception", "type": "TemporaryError", "message": "again"}
    assert job["result"] is None


def test_the_result_is_what_the_task_returned(api: httpx.Client) -> None:
    job_id = deed(api, text="the answer")
    ended(api, job_id)
    answer = api.get(f"/v1/jobs/{job_id}/result")
    assert (answer.status_code, answer.json()) == (200, {"said": "the answer"})
    assert answer.headers["content-type"] == "application/json"


def test_the_result_of_a_job_on_its_way_is_the_job(api: httpx.Client, ledger: Ledger) -> None:
    waiting, (running, attempt) = deed(api, {"delay": 3600}), claimed(ledger)
    for job_id, status in ((waiting, "scheduled"), (running, "running")):
        answer = api.get(f"/v1/jobs/{job_id}/result")
        assert accepted(answer)["status"] == status
        assert answer.headers["retry-after"] == "1"
    ledger.settle([Failed(running, attempt, FAILURE, retry_in=None)])


def test_there_is_no_result_where_there_will_be_none(api: httpx.Client, ledger: Ledger) -> None:
    cancelled, expired = deed(api, {"delay": 3600}), accepted_in(ledger, expires_in=timedelta(milliseconds=1))
    assert api.post(f"/v1/jobs/{cancelled}/cancel").status_code == 200
    wait_until(lambda: shown(api, expired)["status"] == "expired", 20, "the keeper to expire a job")
    for job_id, status in ((dead(ledger), "dead"), (cancelled, "cancelled"), (expired, "expired")):
        told = problem(api.get(f"/v1/jobs/{job_id}/result"), 409, None)
        assert f"is {status}" in told["detail"]
    assert "as ordered" in problem(api.get(f"/v1/jobs/{dead(ledger)}/result"), 409, None)["detail"]


def test_a_job_that_waits_can_be_cancelled_once(api: httpx.Client) -> None:
    job_id = deed(api, {"delay": 3600})
    answer = api.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["finished_at"] is not None
    told = problem(api.post(f"/v1/jobs/{job_id}/cancel"), 409, "job_id")
    assert "is cancelled" in told["detail"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"reason": ""}', 422, "reason"),
        (b'{"reason": 1}', 422, "reason"),
        (b'{"reason": "a\\u0000b"}', 422, "reason"),
        (b'{"reason": "%s"}' % (b"a" * 1001), 422, "reason"),
        (b'{"why": "a"}', 422, "why"),
        (b"[]", 422, "body"),
        (b"nope", 400, "body"),
        (b"x" * 2_000_000, 413, "body"),
    ],
)
def test_a_wrong_reason_cancels_and_stops_nothing(
    api: httpx.Client, body: bytes, status: int, field: str
) -> None:
    job_id = deed(api, {"delay": 3600})
    problem(raw(api, f"/v1/jobs/{job_id}/cancel", body), status, field)
    problem(raw(api, f"/v1/replays/{NOBODYS_ID}/stop", body), status, field)
    assert (shown(api, job_id)["status"], shown(api, job_id)["interventions"]) == ("scheduled", [])


@pytest.mark.parametrize(
    ("body", "reason"), [(b"", None), (b"{}", None), (b'{"reason": null}', None), (b'{"reason": "a"}', "a")]
)
def test_a_reason_to_cancel_may_be_left_out_in_any_way(
    api: httpx.Client, body: bytes, reason: str | None
) -> None:
    for content in (body, iter([body])):  # a Content-Length, and chunks
        job_id = deed(api, {"delay": 3600})
        assert raw(api, f"/v1/jobs/{job_id}/cancel", content).json()["status"] == "cancelled"
        [note] = shown(api, job_id)["interventions"]
        assert (note["kind"], note["reason"]) == ("cancelled", reason)


def test_a_reason_that_is_not_json_is_refused(api: httpx.Client) -> None:
    job_id = deed(api, {"delay": 3600})
    for action in ("cancel", "replay"):
        path = f"/v1/jobs/{job_id}/{action}"
        problem(api.post(path, data={"reason": "a"}), 415, "Content-Type")
        problem(api.post(path, content=iter([b'{"reason": "a"}'])), 415, "Content-Type")
    assert shown(api, job_id)["status"] == "scheduled"


def test_a_job_that_runs_or_has_ended_cannot_be_cancelled(api: httpx.Client, ledger: Ledger) -> None:
    running, attempt = claimed(ledger)
    assert "is running" in problem(api.post(f"/v1/jobs/{running}/cancel"), 409, "job_id")["detail"]
    ledger.settle([Failed(running, attempt, FAILURE, retry_in=None)])
    done = deed(api)
    ended(api, done)
    assert "is succeeded" in problem(api.post(f"/v1/jobs/{done}/cancel"), 409, "job_id")["detail"]


def test_a_dead_job_is_replayed_with_its_history(api: httpx.Client, ledger: Ledger) -> None:
    job_id = dead(ledger)
    answer = api.post(f"/v1/jobs/{job_id}/replay")
    assert accepted(answer)["replays"] == 1
    job = ended(api, job_id)
    assert (job["status"], job["attempt"], len(job["attempts"])) == ("succeeded", 2, 1)


def test_a_job_that_is_not_dead_cannot_be_replayed(api: httpx.Client) -> None:
    job_id = deed(api, {"delay": 3600})
    assert "is scheduled" in problem(api.post(f"/v1/jobs/{job_id}/replay"), 409, "job_id")["detail"]


def test_a_dead_job_whose_unique_key_is_taken_is_not_replayed(api: httpx.Client, ledger: Ledger) -> None:
    key = a_word()
    first = dead(ledger, unique_key=key)
    deed(api, {"unique_key": key, "delay": 3600})
    assert "unique key" in problem(api.post(f"/v1/jobs/{first}/replay"), 409, "job_id")["detail"]


def test_jobs_are_listed_newest_first_without_what_they_carry(api: httpx.Client) -> None:
    tag = a_word()
    jobs = [deed(api, {"tag": tag, "delay": 3600}) for _ in range(3)]
    assert listed(api, tag=tag) == jobs[::-1]
    [first, *_] = api.get("/v1/jobs", params={"tag": tag}).json()["jobs"]
    assert "payload" not in first
    assert "result" not in first


def test_a_list_is_narrowed_by_each_of_its_filters(api: httpx.Client, ledger: Ledger) -> None:
    tag = a_word()
    waiting = deed(api, {"tag": tag, "delay": 3600})
    mail = accepted_in(ledger, tags=(tag,), task="email.send", queue="email", delay=timedelta(hours=1))
    failed = dead(ledger, tags=(tag,))
    assert listed(api, tag=tag) == [failed, mail, waiting]
    assert listed(api, tag=tag, status="dead") == [failed]
    assert listed(api, tag=tag, status=["dead", "scheduled"]) == [failed, mail, waiting]
    assert listed(api, tag=tag, status="running") == []
    assert listed(api, tag=tag, queue="email") == [mail]
    assert listed(api, tag=tag, task="email.send") == [mail]
    assert listed(api, tag=tag, task="no.such") == []
    assert listed(api, tag=tag, task="email.send", status="dead") == []


def test_a_list_is_narrowed_by_the_time_of_acceptance(api: httpx.Client) -> None:
    tag = a_word()
    first, second = deed(api, {"tag": tag, "delay": 3600}), deed(api, {"tag": tag, "delay": 3600})
    border = shown(api, second)["created_at"]
    before = (datetime.fromisoformat(border) - timedelta(days=1)).isoformat()
    assert listed(api, tag=tag, since=border)[:1] == [second]
    assert listed(api, tag=tag, since=before) == [second, first]
    assert second not in listed(api, tag=tag, until=border)
    assert listed(api, tag=tag, until=before) == []
    for extreme in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        for names in (("since", "until"), ("ended_since", "ended_until")):
            assert api.get("/v1/jobs", params=dict.fromkeys(names, extreme)).json()["jobs"] == []


def test_a_cursor_leads_through_the_list_while_new_jobs_arrive(api: httpx.Client) -> None:
    tag = a_word()
    jobs = accepted(api.post(f"{DEEDS}/bulk", params={"tag": tag, "delay": 3600}, json=[{}] * 7))["ids"]
    seen, cursor = [], None
    while True:
        query = {"tag": tag, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = api.get("/v1/jobs", params=query).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        deed(api, {"tag": tag, "delay": 3600})
    assert seen == sorted(jobs, reverse=True)


def test_a_cursor_that_was_altered_anywhere_is_refused(api: httpx.Client) -> None:
    deed(api), deed(api)
    cursor = api.get("/v1/jobs", params={"limit": 1}).json()["next_cursor"]
    assert api.get("/v1/jobs", params={"cursor": cursor}).status_code == 200
    altered = [
        cursor[:place] + other + cursor[place + 1 :]
        for place in range(len(cursor))
        for other in "Ab0_"
        if cursor[place] != other
    ]
    for wrong in ("", "x", "A" * 22, "A" * 101, "\x00", "ü", cursor[1:], cursor[:-1], f"{cursor}A", *altered):
        for path in ("/v1/jobs", "/v1/dead-letters"):
            problem(api.get(path, params={"cursor": wrong}), 422, "cursor")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=nope", "status.0"),
        ("status=dead&status=", "status.1"),
        ("queue=nope", "queue"),
        ("task=a%00b", "task"),
        ("task=" + "x" * 201, "task"),
        ("tag=a%00b", "tag"),
        ("tag=a&tag=b", "tag"),
        ("since=yesterday", "since"),
        ("since=0.5", "since"),
        ("since=2020-01-01T00:00:00", "since"),
        ("until=2020-01-01T00:00:00", "until"),
        ("ended_since=yesterday", "ended_since"),
        ("ended_until=2020-01-01T00:00:00", "ended_until"),
        ("nope=1", "nope"),
    ],
)
def test_a_filter_that_is_wrong_is_named(api: httpx.Client, query: str, field: str) -> None:
    problem(api.get(f"/v1/jobs?{query}"), 422, field)


def test_a_page_may_hold_five_hundred_jobs(api: httpx.Client) -> None:
    tag = a_word()
    api.post(f"{DEEDS}/bulk", params={"tag": tag, "delay": 3600}, json=[{}] * 501)
    page = api.get("/v1/jobs", params={"tag": tag, "limit": 500, "status": Status.SCHEDULED}).json()
    assert len(page["jobs"]) == 500
    rest = api.get("/v1/jobs", params={"tag": tag, "limit": 500, "cursor": page["next_cursor"]}).json()
    assert (len(rest["jobs"]), rest["next_cursor"]) == (1, None)
