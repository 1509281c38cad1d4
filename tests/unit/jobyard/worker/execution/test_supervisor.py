"""An attempt under watch: its limits, a lease that is lost, a worker that stops; on any kind of pool."""

import asyncio
import threading
import time
from functools import partial

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import Cause, Failed, HandedBack, NotStarted, Outcome, Succeeded
from jobyard.jobs.ledger.leases import Lease
from jobyard.tasks.declare import task
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.attempt_thread import threads_left_behind
from jobyard.worker.execution.interruptions import AttemptStopped
from jobyard.worker.execution.supervisor import run_attempt
from tests.support.waiting import wait_until
from tests.support.watched import Order, claimed, compute, doing, lease, names


def run(watched: AnyDefinition) -> Outcome:
    job = claimed()
    return run_attempt(watched, job, lease(job))


def test_an_attempt_in_time_is_what_the_task_returned() -> None:
    outcome = run(doing(lambda: "done", time_limit=30))
    assert isinstance(outcome, Succeeded)
    assert outcome.result == '"done"'


def test_computing_past_the_limit_is_stopped_in_the_middle() -> None:
    outcome = run(doing(compute, time_limit=0.05))
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.TIME_LIMIT
    assert "limit of 0.05 s" in outcome.failure.message


def test_a_task_may_clean_up_at_its_soft_limit_and_still_succeed() -> None:
    def tidy() -> str:
        try:
            compute()
        except SoftTimeLimitExceeded:
            return "tidied"
        return "never"

    outcome = run(doing(tidy, time_limit=30, soft_time_limit=0.05))
    assert isinstance(outcome, Succeeded)
    assert outcome.result == '"tidied"'


def test_what_blocks_past_its_hard_limit_is_given_up_and_its_thread_counted_until_it_ends() -> None:
    go_on = threading.Event()
    wait_until(lambda: threads_left_behind() == 0, 10, "the threads of other tests to end")
    outcome = run(doing(go_on.wait, time_limit=0.1, soft_time_limit=0.05))
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.TIME_LIMIT
    assert outcome.failure.type == "TimeLimitExceeded"
    assert threads_left_behind() == 1
    assert isinstance(run(doing(lambda: "next")), Succeeded)  # on a new thread
    go_on.set()
    wait_until(lambda: threads_left_behind() == 0, 10, "the thread to end")


def test_a_limit_in_autoretry_for_is_retried_soft_or_hard() -> None:
    go_on = threading.Event()
    retried = partial(doing, autoretry_for=(SoftTimeLimitExceeded,), retry_backoff=1)
    soft = run(retried(compute, time_limit=0.05))
    hard = run(retried(go_on.wait, time_limit=0.1, soft_time_limit=0.05))
    go_on.set()
    assert isinstance(soft, Failed)
    assert isinstance(hard, Failed)
    assert soft.retry_in is not None
    assert hard.retry_in is not None


def test_a_coroutine_is_cancelled_at_its_limit() -> None:
    cleaned_up = threading.Event()

    @task(next(names), time_limit=0.05)
    async def wait(order: Order) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned_up.set()

    outcome = run(wait.definition)
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.TIME_LIMIT
    assert cleaned_up.wait(10)


def test_a_time_out_of_the_tasks_own_is_its_own_failure() -> None:
    @task(next(names), time_limit=30)
    async def wait(order: Order) -> None:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)

    outcome = run(wait.definition)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.cause, outcome.failure.type) == (Cause.EXCEPTION, "TimeoutError")


def test_a_worker_that_could_not_renew_stops_before_another_may_begin() -> None:
    job, stopped = claimed(), threading.Event()

    def work() -> None:
        try:
            compute()
        except AttemptStopped:
            stopped.set()
            raise

    outcome = run_attempt(doing(work), job, lease(job, seconds=0.1))
    assert isinstance(outcome, HandedBack)
    assert "renewed" in outcome.reason
    assert stopped.is_set()


def test_a_lease_that_is_renewed_goes_on() -> None:
    job, go_on = claimed(), threading.Event()
    held = lease(job, seconds=0.2)

    def renew() -> None:
        for _ in range(20):
            held.renewed_at = monotonic()
            time.sleep(0.02)
        go_on.set()

    threading.Thread(target=renew).start()
    assert isinstance(run_attempt(doing(go_on.wait), job, held), Succeeded)


def stop_when(began: threading.Event, held: Lease) -> None:
    def stop() -> None:
        began.wait()
        held.stop("the worker is stopping")

    threading.Thread(target=stop).start()


def test_a_job_that_is_told_to_stop_is_handed_back_even_if_it_blocks() -> None:
    job, began, go_on = claimed(), threading.Event(), threading.Event()
    held = lease(job)

    def block() -> None:
        began.set()
        go_on.wait()

    stop_when(began, held)
    outcome = run_attempt(doing(block), job, held)
    go_on.set()
    assert outcome == HandedBack(job.id, 1, "the worker is stopping")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_job_that_may_begin_only_once_is_dead_where_others_are_handed_back(is_async: bool) -> None:
    job, began, go_on = claimed(), threading.Event(), threading.Event()
    held = lease(job)

    def block() -> None:
        began.set()
        go_on.wait()

    @task(next(names), max_losses=0)
    async def wait(order: Order) -> None:
        began.set()
        await asyncio.sleep(60)

    stop_when(began, held)
    outcome = run_attempt(wait.definition if is_async else doing(block, max_losses=0), job, held)
    go_on.set()
    assert isinstance(outcome, Failed)
    assert (outcome.failure.cause, outcome.retry_in) == (Cause.LOST_WORKER, None)
    assert "may not begin a second time (max_losses=0): the worker is stopping" in outcome.failure.message


def test_a_job_that_ends_while_it_is_told_to_stop_has_ended() -> None:
    job, began = claimed(), threading.Event()
    held = lease(job)

    def hurry() -> str:
        began.set()
        try:
            compute()
        except AttemptStopped:
            return "done after all"
        return "never"

    stop_when(began, held)
    assert isinstance(run_attempt(doing(hurry), job, held), Succeeded)


def test_a_job_whose_lease_is_lost_already_is_not_begun() -> None:
    job = claimed()
    held = lease(job)
    held.stop("gone")
    outcome = run_attempt(doing(lambda: pytest.fail("it ran")), job, held)
    assert outcome == NotStarted(job.id, 1)


def test_interruptions_that_come_at_any_moment_leave_an_outcome() -> None:
    for moment in range(200):
        job = claimed()
        held = lease(job)
        timer = threading.Timer(moment / 200_000, held.stop, ["now"])
        timer.start()
        outcome = run_attempt(doing(lambda: sum(range(2000))), job, held)
        assert isinstance(outcome, (Succeeded, HandedBack, NotStarted))
        timer.join()
