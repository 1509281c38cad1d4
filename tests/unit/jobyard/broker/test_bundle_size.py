"""How jobs are put together into messages: by kind, by what a job takes, and by who is there to run them."""

from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace

import pytest

from jobyard.broker.bundle_size import MOST_JOBS, Bundler
from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.job import QueuedJob, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.living_workers import Announcement, announce
from jobyard.jobs.reading.run_times import known_run_times, note_run_times
from jobyard.worker.execution.run_time_recorder import (
    WRITE_ALL_EVERY_SECONDS,
    WRITE_EVERY_SECONDS,
    RunTimeRecorder,
)

MINUTE = timedelta(minutes=1)


def queued(
    how_many: int, task: str = "a.task", queue: str = "default", priority: int = 5, lost: int = 0
) -> list[QueuedJob]:
    return [QueuedJob(new_id(), task, queue, priority, lost) for _ in range(how_many)]


def sizes(ledger: Ledger, jobs: list[QueuedJob]) -> list[int]:
    bundles = list(Bundler(ledger.database, MINUTE).split(jobs))
    assert sorted(job.id for bundle in bundles for job in bundle) == sorted(job.id for job in jobs)
    return [len(bundle) for bundle in bundles]


def test_what_differs_in_task_queue_or_priority_shares_no_message(own_ledger: Ledger) -> None:
    kinds = [
        ("a.task", "default", 5),
        ("b.task", "default", 5),
        ("a.task", "email", 5),
        ("a.task", "default", 9),
    ]
    jobs = [job for _ in range(3) for kind in kinds for job in queued(1, *kind)]
    bundles = list(Bundler(own_ledger.database, MINUTE).split(jobs))
    assert [len(bundle) for bundle in bundles] == [3] * 4
    assert all(len({(job.task, job.queue, job.priority) for job in bundle}) == 1 for bundle in bundles)


def test_jobs_with_very_different_limits_of_their_own_share_no_message(own_ledger: Ledger) -> None:
    jobs = queued(3) + [job._replace(time_limit=limit) for job in queued(2) for limit in (30, 31, 4000)]
    assert sorted(sizes(own_ledger, jobs)) == [2, 3, 4]


def test_a_job_that_lost_a_worker_goes_alone(own_ledger: Ledger) -> None:
    assert sorted(sizes(own_ledger, queued(2, lost=1) + queued(5))) == [1, 1, 5]


@pytest.mark.parametrize(
    ("seconds", "size"), [(None, MOST_JOBS), (0.00001, MOST_JOBS), (0.009, 56), (0.06, 8), (30, 1)]
)
def test_where_much_waits_a_message_is_half_a_second_of_work(
    own_ledger: Ledger, seconds: float | None, size: int
) -> None:
    if seconds is not None:
        note_run_times(own_ledger.database, {"a.task": seconds})
    assert sizes(own_ledger, queued(3 * MOST_JOBS))[0] == size


def test_where_little_waits_a_message_is_a_tenth_of_a_second_of_work(own_ledger: Ledger) -> None:
    note_run_times(own_ledger.database, {"a.task": 0.009})
    assert sizes(own_ledger, queued(33)) == [11] * 3


def test_the_last_messages_are_small_so_that_the_workers_end_together(own_ledger: Ledger) -> None:
    announce(own_ledger.database, Announcement("one", 1, "prefork", 2, "default"))
    note_run_times(own_ledger.database, {"a.task": 0.05 - 1e-9})
    assert sizes(own_ledger, queued(80)) == [10, 9, 8, 7, 6, 5, 4, 4, 3, 3, 3, *[2] * 9]


def test_jobs_of_which_a_tenth_of_a_second_holds_nearly_two_go_two_by_two(own_ledger: Ledger) -> None:
    announce(own_ledger.database, Announcement("one", 1, "prefork", 2, "default"))
    note_run_times(own_ledger.database, {"a.task": 0.054})
    assert sizes(own_ledger, queued(8)) == [2] * 4


def test_workers_that_are_there_share_what_is_to_be_sent(own_ledger: Ledger) -> None:
    for name, queues in (("one", "default,email"), ("two", "default"), ("other", "images")):
        announce(own_ledger.database, Announcement(name, 1, "threads", 4, queues))
    assert sizes(own_ledger, queued(24)) == [3] * 8
    assert sizes(own_ledger, queued(3)) == [1] * 3


def test_a_task_that_became_slower_is_believed_at_once_and_one_that_became_faster_by_and_by(
    own_ledger: Ledger,
) -> None:
    for seconds, known in ((0.01, 0.01), (1.0, 1.0), (0.0, 0.7)):
        note_run_times(own_ledger.database, {"a.task": seconds, "b.task": 1})
        assert known_run_times(own_ledger.database) == {"a.task": pytest.approx(known), "b.task": 1}


def test_a_worker_adds_up_what_it_measures_and_tells_it_now_and_then(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = RunTimeRecorder(own_ledger.database)
    recorder.record("a.task", 2.0, 1)
    assert known_run_times(own_ledger.database) == {"a.task": 2.0}, "the first is told at once"
    recorder.record("a.task", 30.0, 5)
    assert known_run_times(own_ledger.database) == {"a.task": 2.0}, "and then it waits a while"
    monkeypatch.setattr(
        "jobyard.worker.execution.run_time_recorder.monotonic", lambda: monotonic() + WRITE_EVERY_SECONDS
    )
    recorder.record("a.task", 10.0, 5)
    assert known_run_times(own_ledger.database) == {"a.task": 4.0}


def test_a_worker_tells_no_old_news_but_all_of_it_now_and_then(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, float]] = []
    recorder, clock = RunTimeRecorder(own_ledger.database), SimpleNamespace(now=100.0)
    monkeypatch.setattr("jobyard.worker.execution.run_time_recorder.monotonic", lambda: clock.now)

    def tell(database: LedgerDatabase, means: Mapping[str, float]) -> dict[str, float]:
        told.append(dict(means))
        return note_run_times(database, means)

    monkeypatch.setattr("jobyard.worker.execution.run_time_recorder.note_run_times", tell)

    def measure(seconds: float) -> None:
        clock.now += WRITE_EVERY_SECONDS
        recorder.record("a.task", seconds, 1)

    for seconds in (1.0, 1.05, 0.95, 1.2, 0.5, 0.5):
        measure(seconds)
    # Of one that has become faster the ledger believes a part each time: 0.99, 0.84 of 1.2.
    assert told == [{"a.task": seconds} for seconds in (1.0, 1.2, 0.5, 0.5)]
    for _ in range(8):
        measure(0.5)
    known_by_now = len(told)
    measure(0.5)
    assert len(told) == known_by_now
    clock.now += WRITE_ALL_EVERY_SECONDS
    measure(0.5)
    assert told[known_by_now:] == [{"a.task": 0.5}]


def test_a_worker_without_its_ledger_goes_on(own_ledger: Ledger) -> None:
    with own_ledger.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pace")
    RunTimeRecorder(own_ledger.database).record("a.task", 1.0, 1)
