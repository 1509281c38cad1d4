"""What a worker answers when it is asked for its jobs: the ledger's rows, in Celery's form."""

from datetime import timedelta
from typing import Any

from jobyard.jobs.job import NewJob, Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.living_workers import Announcement, announce, withdraw
from jobyard.worker.ledger_inspection import LONGEST_PAYLOAD, active, reserved, scheduled

LEASE = timedelta(seconds=30)


def accept(ledger: Ledger, payload: str = '{"number":7}', **options: Any) -> str:
    [acceptance] = ledger.accept([NewJob(new_id(), "bad.deed", payload, 3, **options)])
    return acceptance.job_id


def test_active_are_the_jobs_that_a_worker_runs(empty_ledger: Ledger) -> None:
    mine, others, ended = (accept(empty_ledger, queue="email", priority=9) for _ in range(3))
    empty_ledger.claim([mine, ended], "me@here/12")
    empty_ledger.claim([others], "me@here2/12")
    empty_ledger.settle([Succeeded(ended, 1, "null")])
    [shown] = active(empty_ledger.database, "me@here")
    assert (shown["id"], shown["name"], shown["type"]) == (mine, "bad.deed", "bad.deed")
    assert (shown["args"], shown["kwargs"]) == ([], {"number": 7})
    assert (shown["hostname"], shown["worker_pid"]) == ("me@here", 12)
    assert shown["delivery_info"]["routing_key"] == "email"
    assert shown["time_start"] > 0


def test_a_long_payload_is_not_shown(empty_ledger: Ledger) -> None:
    job_id = accept(empty_ledger, '{"text":"' + "x" * LONGEST_PAYLOAD + '"}')
    empty_ledger.claim([job_id], "me@here/12")
    assert active(empty_ledger.database, "me@here")[0]["kwargs"] == {}


def test_reserved_are_the_fetched_jobs_that_are_still_queued(empty_ledger: Ledger) -> None:
    queued, cancelled, running, _unfetched = (accept(empty_ledger) for _ in range(4))
    empty_ledger.cancel(cancelled)
    empty_ledger.claim([running], "me@here/12")
    shown = reserved(empty_ledger.database, "me@here", [queued, cancelled, running])
    assert [job["id"] for job in shown] == [queued]
    assert (shown[0]["time_start"], shown[0]["worker_pid"]) == (None, None)


def test_each_scheduled_job_is_shown_by_one_of_the_workers_that_serve_its_queue(empty_ledger: Ledger) -> None:
    workers = [
        Announcement("b@here", 1, "threads", 1, "default,email"),
        Announcement("a@here", 2, "threads", 1, "default"),
    ]
    for worker in workers:
        announce(empty_ledger.database, worker)
    try:
        later = accept(empty_ledger, delay=timedelta(hours=2))
        sooner = accept(empty_ledger, delay=timedelta(hours=1))
        mail = accept(empty_ledger, delay=timedelta(hours=1), queue="email")
        accept(empty_ledger)
        shown = {
            worker.name: [
                entry["request"]["id"] for entry in scheduled(empty_ledger.database, worker.name, LEASE)
            ]
            for worker in workers
        }
        [entry] = scheduled(empty_ledger.database, "b@here", LEASE)
    finally:
        for worker in workers:
            withdraw(empty_ledger.database, worker)
    assert shown == {"a@here": [sooner, later], "b@here": [mail]}
    assert entry["eta"].endswith("+00:00")
