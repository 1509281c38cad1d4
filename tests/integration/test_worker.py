"""Jobs through a real broker and a real worker, and what the ledger says of each afterwards."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from kombu import Consumer

from jobyard.broker.celery_app import app
from jobyard.broker.publisher import get_publisher
from jobyard.jobs.clock import monotonic, utc_now
from jobyard.jobs.errors import IdempotencyConflictError
from jobyard.jobs.job import Cause, Job, NewJob, QueuedJob, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_attempts, get_job
from jobyard.tasks.handle import AsyncResult, JobHandle
from jobyard.tasks.result_errors import JobFailedError
from jobyard.worker.flower_events import FLUSH_EVERY_SECONDS, MAX_EVENTS_IN_GROUP
from tests.support.bad_tasks import Deed, async_deed, deed, result, slow_cpu
from tests.support.processes import YardProcesses
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("worker")


def ended(handle: JobHandle[Any], seconds: float = 20) -> Job:
    wait_until(handle.ready, seconds, f"{handle} to end")
    return handle.job


def test_a_job_returns_its_result() -> None:
    handle = deed.delay(Deed(text="hello"))
    assert handle.get(timeout=20).said == "hello"
    assert handle.job.status is Status.SUCCEEDED
    assert handle.successful()


def test_a_job_that_uses_up_its_attempts_becomes_a_dead_letter(ledger: Ledger) -> None:
    job = ended(deed.submit(Deed(then="fail"), max_attempts=2))
    assert (job.status, job.attempt, job.failures) == (Status.DEAD, 2, 2)
    history = get_attempts(ledger.database, job.id)
    assert [(one.attempt, one.failure.type) for one in history] == [
        (1, "TemporaryError"),
        (2, "TemporaryError"),
    ]
    assert all(one.failure.traceback for one in history)


def test_a_job_that_fails_once_succeeds_at_the_second_attempt() -> None:
    handle = deed.delay(Deed(then="fail_once"))
    assert handle.get(timeout=20).said == "attempt 2"
    assert handle.job.failure is None


def test_waiting_for_a_job_that_dies_says_why() -> None:
    with pytest.raises(ValueError, match="as ordered") as caught:
        deed.delay(Deed(then="raise")).get(timeout=20)
    assert isinstance(caught.value, JobFailedError)


def test_a_call_in_celerys_words_is_found_by_the_callers_id() -> None:
    mine = f"order-{uuid4()}"
    handle = deed.apply_async([Deed(text="once")], task_id=mine, countdown=0.2, expires=60, headers={"a": 1})
    assert (handle.id, handle.is_new) == (mine, True)
    again = deed.apply_async(kwargs={"order": {"text": "twice"}}, task_id=mine)
    assert (again, again.is_new) == (handle, False)
    assert AsyncResult[Any](mine).get(timeout=20).said == "once"
    assert (handle.state, handle.job.headers, handle.job.attempt) == ("SUCCESS", {"a": 1}, 1)


def test_a_limit_of_the_call_ends_the_attempt() -> None:
    handle = deed.apply_async([Deed(then="sleep", seconds=60)], soft_time_limit=0.2, time_limit=30)
    with pytest.raises(SoftTimeLimitExceeded, match=r"limit of 0\.2 s"):
        handle.get(timeout=20)


def test_waiting_in_vain_says_where_the_job_stands() -> None:
    handle = deed.submit(Deed(), delay=timedelta(hours=1))
    with pytest.raises(TimeoutError, match="scheduled"):
        handle.get(timeout=0.1)


@pytest.mark.parametrize(
    ("order", "cause"),
    [
        ({"then": "raise"}, Cause.EXCEPTION),
        ({"then": "exit"}, Cause.EXCEPTION),
        ({"then": "memory"}, Cause.OUT_OF_MEMORY),
        ({"then": "discard"}, Cause.DISCARDED),
    ],
)
def test_an_unwanted_end_is_a_dead_letter_with_its_cause(order: dict[str, Any], cause: Cause) -> None:
    job = ended(deed.delay(Deed(**order)))
    assert job.status is Status.DEAD
    assert job.failure is not None
    assert job.failure.cause is cause


def test_a_task_that_asks_for_later_is_tried_later_as_often_as_it_may() -> None:
    job = ended(deed.submit(Deed(then="later", seconds=0.1), max_attempts=3))
    assert (job.status, job.attempt) == (Status.DEAD, 3)


def test_a_job_that_is_put_off_keeps_its_attempts() -> None:
    handle = deed.submit(Deed(then="later_for_free", seconds=0), max_attempts=1)
    assert handle.get(timeout=30).said == "attempt 6"


def test_a_coroutine_is_a_task_and_is_stopped_at_its_limit() -> None:
    assert async_deed.delay(Deed(seconds=0.01)).get(timeout=20).said == "awaited"
    job = ended(async_deed.delay(Deed(seconds=60)))
    assert job.failure is not None
    assert job.failure.cause is Cause.TIME_LIMIT


def test_a_result_that_is_too_large_is_refused_with_the_way_out() -> None:
    job = ended(result.delay(Deed(number=2_000_000)))
    assert job.failure is not None
    assert job.failure.cause is Cause.RESULT_REFUSED
    assert "JOBYARD_TASKS__MAX_RESULT_BYTES" in job.failure.message


def test_a_delayed_job_starts_when_it_is_due_and_not_before() -> None:
    handle = deed.submit(Deed(), delay=timedelta(seconds=1))
    assert handle.job.status is Status.SCHEDULED
    handle.get(timeout=20)
    job = handle.job
    assert job.started_at is not None
    assert job.started_at >= job.run_at


def test_a_job_that_was_cancelled_never_runs(tmp_path: Path, ledger: Ledger) -> None:
    journal = tmp_path / "journal"
    cancelled = deed.submit(Deed(journal=str(journal)), delay=timedelta(milliseconds=300))
    ledger.cancel(cancelled.id)
    later = deed.submit(Deed(), delay=timedelta(milliseconds=600))
    later.get(timeout=20)
    assert cancelled.job.status is Status.CANCELLED
    assert not journal.exists()


def test_the_same_key_is_the_same_job_and_another_request_is_refused() -> None:
    first = deed.submit(Deed(text="one"), idempotency_key="worker-test")
    again = deed.submit(Deed(text="one"), idempotency_key="worker-test")
    assert (again.id, first.is_new, again.is_new) == (first.id, True, False)
    with pytest.raises(IdempotencyConflictError):
        deed.submit(Deed(text="two"), idempotency_key="worker-test")


def test_many_are_submitted_together_and_all_of_them_end() -> None:
    handles = deed.submit_many([Deed(text=str(number)) for number in range(50)])
    assert [handle.get(timeout=30).said for handle in handles] == [str(number) for number in range(50)]


def test_two_messages_for_one_job_run_it_once(tmp_path: Path, ledger: Ledger) -> None:

    journal = tmp_path / "journal"
    handle = deed.submit(Deed(journal=str(journal), then="sleep", seconds=0.3))
    message = QueuedJob(handle.id, deed.name, "default", 4)
    get_publisher().publish([message] * 5)
    handle.get(timeout=20)
    get_publisher().publish([message])
    deed.delay(Deed()).get(timeout=20)
    assert journal.read_text().splitlines() == [f"{handle.id}:1"]


def test_a_message_that_names_another_task_runs_the_jobs_own(ledger: Ledger) -> None:
    mine = NewJob(id=new_id(), task=deed.name, payload='{"text": "mine"}', max_attempts=1)
    ledger.accept([mine])
    get_publisher().publish([QueuedJob(mine.id, "upkeep.heartbeat", mine.queue, mine.priority)])
    wait_until(lambda: get_job(ledger.database, mine.id).status.is_final, 20, "the job to end")
    assert get_job(ledger.database, mine.id).result == '{"said":"mine"}'


def test_the_more_urgent_job_runs_first(yard: YardProcesses, tmp_path: Path, ledger: Ledger) -> None:

    journal = tmp_path / "journal"
    order = Deed(journal=str(journal))
    blockers = deed.submit_many([Deed(then="sleep", seconds=1.0) for _ in range(12)])
    wait_until(lambda: any(b.job.status is Status.RUNNING for b in blockers), 20, "the worker to be busy")
    low = [deed.submit(order, priority=0, queue="default") for _ in range(3)]
    high = [deed.submit(order, priority=9, queue="default") for _ in range(3)]
    for handle in (*low, *high):
        handle.get(timeout=30)
    ran = [line.split(":")[0] for line in journal.read_text().splitlines()]
    assert sorted(ran[:3]) == sorted(handle.id for handle in high)


def test_a_dead_job_that_is_replayed_runs_again_with_its_history(ledger: Ledger) -> None:

    job = ended(deed.submit(Deed(then="fail_once"), max_attempts=1))
    assert job.status is Status.DEAD
    get_publisher().publish([ledger.replay(job.id)])
    wait_until(lambda: get_job(ledger.database, job.id).status is Status.SUCCEEDED, 20, "the replay to end")
    again = get_job(ledger.database, job.id)
    assert (again.attempt, again.replays) == (2, 1)
    assert len(get_attempts(ledger.database, job.id)) == 1


def test_a_job_under_an_old_name_is_run_by_the_task_that_took_it_over(ledger: Ledger) -> None:

    old = NewJob(id=new_id(), task="bad.old", payload="{}", max_attempts=1)
    ledger.accept([old])
    get_publisher().publish([QueuedJob(old.id, old.task, old.queue, old.priority)])
    wait_until(lambda: get_job(ledger.database, old.id).status is Status.SUCCEEDED, 20, "the old job to end")


def test_a_job_says_when_it_ended() -> None:
    handle = deed.delay(Deed())
    handle.get(timeout=20)
    finished_at = handle.job.finished_at
    assert finished_at is not None
    assert abs(utc_now() - finished_at) < timedelta(seconds=60)


def test_computing_past_the_limit_is_a_failed_attempt_on_threads_too() -> None:
    job = ended(slow_cpu.delay(Deed(seconds=20)), seconds=60)
    assert job.failure is not None
    assert job.failure.cause is Cause.TIME_LIMIT


def listen(connection: Any) -> None:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.1)


def test_what_flower_is_told_travels_in_groups() -> None:
    groups: list[list[dict[str, Any]]] = []

    def note(told: Any, message: Any) -> None:
        if isinstance(told, list):
            groups.append(told)

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection)
        with Consumer(connection, [receiver.queue], callbacks=[note], no_ack=True, accept=["json"]):
            listen(connection)  # on Redis this subscribes
            began = monotonic()
            handles = []
            for _ in range(60):
                handles.append(deed.delay(Deed()))
                assert get_publisher().flush(5)  # so that each has a message of its own

            def all_are_told() -> bool:
                listen(connection)
                ends = {
                    event["uuid"] for group in groups for event in group if event["type"] == "task-succeeded"
                }
                return ends >= {handle.id for handle in handles}

            wait_until(all_are_told, 40, "an event for the end of each job")
    in_all = sum(map(len, groups))
    # Two threads may find the buffer full at one moment.
    by_time, by_number = (monotonic() - began) / FLUSH_EVERY_SECONDS, 2 * in_all / MAX_EVENTS_IN_GROUP
    assert len(groups) <= by_time + by_number + 3, f"{in_all} events"
