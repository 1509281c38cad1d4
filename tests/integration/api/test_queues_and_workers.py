"""What the API tells of tasks, queues and workers."""

from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import update

from jobyard.jobs.clock import db_now, utc_now
from jobyard.jobs.database.schema import worker as worker_table
from jobyard.jobs.job import Failed
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.living_workers import Announcement, announce
from tests.support.api_calls import deed, ended
from tests.support.ledger_jobs import FAILURE, claimed
from tests.support.processes import YardProcesses
from tests.support.waiting import wait_until

NAMES = ["collect", "default", "email", "images"]


def queue(api: httpx.Client, name: str) -> dict[str, Any]:
    answer = api.get("/v1/queues")
    assert answer.status_code == 200, answer.text
    [found] = [one for one in answer.json() if one["name"] == name]
    told: dict[str, Any] = found
    return told


def test_every_task_is_listed_with_its_payload(api: httpx.Client) -> None:
    tasks = {task["name"]: task for task in api.get("/v1/tasks").json()}
    assert {"email.send", "image.convert", "page.collect", "bad.deed"} <= tasks.keys()
    deed = tasks["bad.deed"]
    assert deed["aliases"] == ["bad.old"]
    assert deed["description"].startswith("Do as told")
    assert (deed["queue"], deed["priority"], deed["max_attempts"]) == ("default", 4, 3)
    assert deed["payload_schema"]["properties"]["number"]["type"] == "integer"
    assert deed["payload_schema"]["additionalProperties"] is False
    assert tasks["email.send"]["queue"] == "email"
    assert api.post(deed["links"]["submit"], json={}).status_code == 202


def test_every_queue_is_listed_with_what_it_is_for(api: httpx.Client) -> None:
    queues = api.get("/v1/queues").json()
    assert [one["name"] for one in queues] == NAMES
    assert all(one["purpose"] for one in queues)
    assert [one["kind"] for one in queues] == ["threads", "threads", "threads", "prefork"]


def test_an_empty_queue_says_so(api: httpx.Client, empty_ledger: Ledger) -> None:
    told = queue(api, "collect")
    assert {told[name] for name in ("queued", "scheduled", "retrying", "running")} == {0}
    assert (told["oldest_queued_at"], told["oldest_queued_seconds"]) == (None, None)
    wait_until(lambda: queue(api, "collect")["messages"] == 0, 20, "the broker's queue to run empty")


def test_a_queue_counts_what_waits_and_what_runs(api: httpx.Client, empty_ledger: Ledger) -> None:
    for _ in range(3):
        deed(api, {"queue": "collect", "delay": 3600})
    job_id, attempt = claimed(empty_ledger, queue="collect")
    retried, its_attempt = claimed(empty_ledger, queue="collect")
    empty_ledger.settle([Failed(retried, its_attempt, FAILURE, retry_in=timedelta(hours=1))])
    told = queue(api, "collect")
    assert (told["scheduled"], told["running"], told["retrying"]) == (3, 1, 1)
    assert queue(api, "email")["scheduled"] == 0
    empty_ledger.settle([Failed(job_id, attempt, FAILURE, retry_in=None)])
    assert queue(api, "collect")["running"] == 0


def test_a_queue_says_how_long_its_oldest_job_has_waited(strict_api: httpx.Client) -> None:
    # Nobody works in this yard, and its broker is silent, so what is queued stays.
    for run_at in (utc_now() - timedelta(hours=1), utc_now() - timedelta(hours=2), utc_now()):
        deed(strict_api, {"queue": "images", "run_at": run_at.isoformat()})
    deed(strict_api, {"queue": "images", "run_at": (utc_now() + timedelta(hours=1)).isoformat()})
    told = queue(strict_api, "images")
    assert (told["queued"], told["scheduled"]) == (3, 1)
    assert 7200 <= told["oldest_queued_seconds"] < 7300
    assert told["oldest_queued_at"] is not None
    assert told["messages"] is None


def test_a_worker_is_listed_while_it_lives(api: httpx.Client, worker: YardProcesses) -> None:
    wait_until(lambda: api.get("/v1/workers").json(), 20, "the worker to announce itself")
    known = api.get("/v1/workers").json()
    ours = [one for one in known if one["pool"] == "thread" and one["is_live"]]
    assert ours
    assert ours[0]["queues"] == NAMES
    assert ours[0]["concurrency"] == 4
    assert ours[0]["pid"] in {program.process.pid for program in worker.programs}
    assert ours[0]["started_at"] <= ours[0]["seen_at"]


def test_a_job_names_the_worker_that_ran_it(api: httpx.Client) -> None:
    wait_until(lambda: api.get("/v1/workers").json(), 20, "the worker to announce itself")
    names = [one["name"] for one in api.get("/v1/workers").json()]
    assert ended(api, deed(api))["worker"].rpartition("/")[0] in names


def test_a_worker_that_has_fallen_silent_is_not_live_and_then_forgotten(
    api: httpx.Client, ledger: Ledger
) -> None:
    for name, minutes in (("silent", 5), ("gone", 61)):
        announce(ledger.database, Announcement(name, 1, "prefork", 2, "images"))
        seen_at = {"seen_at": db_now(plus=-timedelta(minutes=minutes))}
        with ledger.database.writing() as connection:
            connection.execute(update(worker_table).where(worker_table.c.name == name).values(seen_at))
    known = {one["name"]: one for one in api.get("/v1/workers").json()}
    assert known["silent"]["is_live"] is False
    assert known["silent"]["queues"] == ["images"]
    assert "gone" not in known
