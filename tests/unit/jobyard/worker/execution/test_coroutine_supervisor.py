"""Coroutines side by side: each has its own limits, lease and end, and one that blocks harms no later job."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import chain, count
from typing import Unpack

import pytest

from jobyard.jobs.job import Cause, Failed, HandedBack, NotStarted, Outcome, Succeeded
from jobyard.jobs.ledger.leases import LeasedJob
from jobyard.tasks.context import current_job
from jobyard.tasks.declare import task
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.task_options import TaskOptions
from jobyard.worker.execution.attempt_thread import threads_left_behind
from jobyard.worker.execution.coroutine_supervisor import CoroutineSupervisor
from jobyard.worker.execution.event_loop import get_event_loop
from jobyard.worker.execution.supervisor import run_attempts
from tests.support.waiting import wait_until
from tests.support.watched import Order, claimed, lease

_names = (f"test.crowd_{number}" for number in count())


def doing(deed: Callable[[int], Awaitable[object]], **options: Unpack[TaskOptions]) -> AnyDefinition:
    """Return a task that is told how many have begun before."""
    begun = count()

    @task(next(_names), **options)
    async def do(order: Order) -> str:
        return str(await deed(next(begun)))

    return do.definition


def jobs(how_many: int) -> list[LeasedJob]:
    return [(job, lease(job)) for job in (claimed() for _ in range(how_many))]


def all_of(task: AnyDefinition, held: list[LeasedJob], patience: float = math.inf) -> list[Outcome]:
    return [outcome for part in run_attempts(task, held, patience) for outcome in part]


def kinds(outcomes: list[Outcome]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


async def soon(value: object, seconds: float = 0) -> object:
    await asyncio.sleep(seconds)
    return value


def test_all_are_under_way_at_once() -> None:
    all_here = asyncio.Barrier(200)

    async def meet(number: int) -> object:
        await all_here.wait()
        return number

    outcomes = all_of(doing(meet), jobs(200))
    assert kinds(outcomes) == [Succeeded] * 200


def test_each_knows_its_own_job_and_has_its_own_outcome() -> None:
    async def who(number: int) -> object:
        await asyncio.sleep(0.001 * (number % 5))
        if number == 3:
            raise ValueError("as ordered")
        return current_job().job_id

    held = jobs(20)
    outcomes = {outcome.job_id: outcome for outcome in all_of(doing(who), held)}
    failed = outcomes.pop(held[3][0].id)
    assert isinstance(failed, Failed)
    named = {id_: outcome.result for id_, outcome in outcomes.items() if isinstance(outcome, Succeeded)}
    assert named == {job.id: f'"{job.id}"' for place, (job, _) in enumerate(held) if place != 3}


def test_no_more_run_at_once_than_a_process_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_event_loop(), "slots", asyncio.Semaphore(3))
    running, most = 0, 0

    async def together(number: int) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return number

    assert kinds(all_of(doing(together), jobs(12))) == [Succeeded] * 12
    assert most == 3


def test_what_found_no_room_in_time_goes_back_and_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_event_loop(), "slots", asyncio.Semaphore(2))
    begun, go_on = [], threading.Event()

    async def hold(number: int) -> object:
        begun.append(number)
        await asyncio.to_thread(go_on.wait)
        return number

    parts = run_attempts(doing(hold), jobs(5), 0.05)
    assert kinds(next(parts)) == [NotStarted] * 3
    go_on.set()
    assert kinds([outcome for part in parts for outcome in part]) == [Succeeded] * 2
    assert begun == [0, 1]


def test_what_has_ended_does_not_wait_for_the_longest() -> None:
    go_on = threading.Event()

    async def last_is_long(number: int) -> object:
        return await asyncio.to_thread(go_on.wait) if number == 2 else number

    parts = run_attempts(doing(last_is_long), jobs(3), 0.05)
    assert kinds(next(parts)) == [Succeeded, Succeeded]
    go_on.set()
    assert [kinds(part) for part in parts] == [[Succeeded]]


def test_a_limit_ends_the_one_that_reaches_it_and_says_where_it_was() -> None:
    async def one_is_slow(number: int) -> object:
        return await soon(number, 60 if number == 1 else 0)

    held = jobs(3)
    outcomes = all_of(doing(one_is_slow, time_limit=0.1), held)
    [slow] = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert (slow.job_id, slow.failure.cause) == (held[1][0].id, Cause.TIME_LIMIT)
    assert "limit of 0.1 s" in slow.failure.message
    assert "in soon" in (slow.failure.traceback or "")


def test_one_that_does_not_heed_its_soft_limit_is_given_up_at_the_hard_one() -> None:
    async def deaf(number: int) -> object:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if number == 1:
                    raise
                number += 1

    [outcome] = all_of(doing(deaf, time_limit=0.1, soft_time_limit=0.05), jobs(1))
    assert isinstance(outcome, Failed)
    assert (outcome.failure.cause, outcome.failure.type) == (Cause.TIME_LIMIT, "TimeLimitExceeded")
    assert threads_left_behind() == 0  # the loop itself is well


def test_one_that_tidies_up_at_its_soft_limit_may_still_succeed() -> None:
    async def tidy(number: int) -> object:
        try:
            return await soon(number, 60)
        except asyncio.CancelledError:
            return "tidied"

    [outcome] = all_of(doing(tidy, time_limit=30, soft_time_limit=0.05), jobs(1))
    assert isinstance(outcome, Succeeded)
    assert outcome.result == '"tidied"'


def test_a_cancellation_of_the_tasks_own_making_is_a_failure_as_any_other() -> None:
    async def cancelled(number: int) -> object:
        raise asyncio.CancelledError("by itself")

    [outcome] = all_of(doing(cancelled), jobs(1))
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "CancelledError"


def test_only_the_one_whose_lease_is_lost_is_handed_back() -> None:
    held = jobs(3)
    under_way = threading.Barrier(2)

    async def wait(number: int) -> object:
        if number == 2:
            await asyncio.to_thread(under_way.wait, 10)
        return await soon(number, 60 if number == 1 else 0.2)

    def lose() -> None:
        under_way.wait(10)
        held[1][1].stop("the lease was lost")

    thread = threading.Thread(target=lose)
    thread.start()
    outcomes = all_of(doing(wait), held)
    thread.join()
    of_each = {outcome.job_id: type(outcome) for outcome in outcomes}
    assert [of_each[job.id] for job, _ in held] == [Succeeded, HandedBack, Succeeded]


def test_all_hand_back_when_the_worker_stops_without_waiting_for_each_other() -> None:
    held = jobs(50)
    crowd = CoroutineSupervisor(doing(lambda number: soon(number, 60)), held, math.inf)
    for _, its_lease in held:
        its_lease.stop("the worker is stopping")
    outcomes = [outcome for part in crowd.outcomes() for outcome in part]
    assert set(kinds(outcomes)) <= {HandedBack, NotStarted}
    assert len(outcomes) == 50


def test_a_lease_that_is_not_renewed_stops_its_attempt() -> None:
    job = claimed()
    [outcome] = all_of(doing(lambda number: soon(number, 60)), [(job, lease(job, seconds=0.2))])
    assert isinstance(outcome, HandedBack)
    assert "could not be renewed" in outcome.reason


def test_one_that_blocks_the_loop_is_given_up_and_later_jobs_have_another() -> None:
    wait_until(lambda: threads_left_behind() == 0, 10, "the threads of other tests to end")
    go_on = threading.Event()

    async def block(number: int) -> object:
        return go_on.wait(60)

    [outcome] = all_of(doing(block, time_limit=0.2, soft_time_limit=0.1), jobs(1))
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.TIME_LIMIT
    assert threads_left_behind() == 1
    assert kinds(all_of(doing(soon), jobs(5))) == [Succeeded] * 5
    go_on.set()
    wait_until(lambda: threads_left_behind() == 0, 10, "the loop to end")


def test_one_that_computes_past_its_limit_is_broken_off() -> None:
    wait_until(lambda: threads_left_behind() == 0, 10, "the threads of other tests to end")

    async def compute(number: int) -> object:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            sum(range(100))
        return number

    [outcome] = all_of(doing(compute, time_limit=0.2, soft_time_limit=0.1), jobs(1))
    assert isinstance(outcome, Failed)
    wait_until(lambda: threads_left_behind() == 0, 10, "the loop to end, long before the minute is over")


def test_a_loop_that_stands_still_is_left_to_what_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: threads_left_behind() == 0, 10, "the threads of other tests to end")
    monkeypatch.setattr("jobyard.worker.execution.event_loop.BLOCKED_AFTER_SECONDS", 0.6)
    go_on = threading.Event()
    ended: list[Outcome] = []

    async def block(number: int) -> object:
        return go_on.wait(60)

    crowd = CoroutineSupervisor(doing(block), jobs(1), math.inf)
    reader = threading.Thread(target=lambda: ended.extend(chain.from_iterable(crowd.outcomes())))
    reader.start()
    before = get_event_loop()
    wait_until(lambda: get_event_loop() is not before, 10, "another loop")
    assert kinds(all_of(doing(soon), jobs(3))) == [Succeeded] * 3
    go_on.set()
    reader.join(10)
    assert kinds(ended) == [Succeeded]  # it was slow, and nothing else
    wait_until(lambda: threads_left_behind() == 0, 10, "the loop to end")


def test_an_exit_in_a_task_of_the_tasks_own_harms_nobody_else() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def spawn(number: int) -> object:
        if number == 0:
            await asyncio.gather(leave(), return_exceptions=True)
        return await soon(number, 0.05)

    outcomes = all_of(doing(spawn), jobs(3))
    assert kinds(outcomes)[1:] == [Succeeded, Succeeded]


def test_how_long_the_loop_was_busy_is_measured_and_not_how_long_it_waited() -> None:
    crowd = CoroutineSupervisor(doing(lambda number: soon(number, 0.2)), jobs(20), math.inf)
    list(crowd.outcomes())
    seconds, begun = crowd.run_time()
    assert begun == 20
    assert seconds < 0.2 * 20 / 2


def test_a_task_that_blocks_is_measured_as_one_that_does() -> None:
    async def block(number: int) -> object:
        time.sleep(0.05)
        return number

    crowd = CoroutineSupervisor(doing(block), jobs(4), math.inf)
    list(crowd.outcomes())
    seconds, begun = crowd.run_time()
    assert begun == 4
    assert seconds > 0.05 * 4 * 0.9


def test_a_large_result_is_kept_beside_the_loop() -> None:
    async def large(number: int) -> object:
        return "x" * 100_000

    [outcome] = all_of(doing(large), jobs(1))
    assert isinstance(outcome, Succeeded)
    assert outcome.result == "@result-1"
