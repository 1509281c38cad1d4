"""A coroutine that blocks its event loop takes nothing of its neighbours' limits, and is named meanwhile."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from structlog.testing import capture_logs

from jobyard.jobs.job import Cause, Failed, Outcome, Succeeded
from jobyard.jobs.ledger.leases import LeasedJob
from jobyard.tasks.declare import task
from jobyard.worker.execution import loop_stalls
from jobyard.worker.execution.attempt_thread import threads_left_behind
from jobyard.worker.execution.supervisor import run_attempts
from tests.support.waiting import wait_until
from tests.support.watched import Order, claimed, lease

go_on = threading.Event()


@task("test.stall_blocker")
async def blocker(order: Order) -> str:
    await asyncio.sleep(0.1)
    go_on.wait(60)
    return "has blocked"


@task("test.stall_blocker_in_a_part")
async def blocker_in_a_part(order: Order) -> str:
    await asyncio.gather(asyncio.sleep(0.1), blocker.definition.function(order))
    return "has blocked"


@task("test.stall_neighbour", time_limit=1)
async def neighbour(order: Order) -> str:
    await asyncio.sleep(0.3)
    return "in time"


@task("test.stall_slow_neighbour", time_limit=1)
async def slow_neighbour(order: Order) -> str:
    await asyncio.sleep(60)
    return "late"


@pytest.fixture(autouse=True)
def unblocked() -> Iterator[None]:
    wait_until(lambda: threads_left_behind() == 0, 10, "the threads of other tests to end")
    go_on.clear()
    yield
    go_on.set()


def begin(declared: object, job: LeasedJob) -> Callable[[], Outcome]:
    """Run one attempt on a thread; return a function that waits for its outcome."""
    ended: list[Outcome] = []
    attempts = run_attempts(declared.definition, [job], 60)  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: ended.extend(chain.from_iterable(attempts)))
    thread.start()

    def outcome() -> Outcome:
        thread.join(30)
        [only] = ended
        return only

    return outcome


def job() -> LeasedJob:
    one = claimed()
    return one, lease(one)


@pytest.mark.parametrize("culprit", [blocker, blocker_in_a_part])
def test_neighbours_are_spared_and_the_culprit_is_named_while_it_blocks(culprit: object) -> None:
    guilty = job()
    with capture_logs() as logs:
        blocking = begin(culprit, guilty)
        innocent = begin(neighbour, job())
        wait_until(lambda: any("blocks the event loop" in line["event"] for line in logs), 20, "the name")
        threading.Event().wait(1.5)  # by now the neighbour's limit would be over
        go_on.set()
        assert isinstance(blocking(), Succeeded)
        assert isinstance(innocent(), Succeeded)
    [line] = [line for line in logs if "blocks the event loop" in line["event"]]
    assert line["job_id"] == guilty[0].id
    assert "in wait" in line["where"]


def test_their_own_time_still_counts() -> None:
    blocking, slow = begin(blocker, job()), begin(slow_neighbour, job())
    threading.Event().wait(1.5)
    go_on.set()
    assert isinstance(blocking(), Succeeded)
    outcome = slow()
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.TIME_LIMIT


def test_many_that_are_busy_in_turn_block_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    stalls = loop_stalls.LoopStalls(loop)
    first, second = (loop.create_task(asyncio.sleep(0)) for _ in range(2))
    monkeypatch.setattr(stalls, "is_late", lambda seconds: True)
    with capture_logs() as logs:
        for running in (first, second, first, None, first):
            monkeypatch.setattr(asyncio, "current_task", lambda _, running=running: running)
            stalls.look()
    assert logs == []
    assert stalls.seconds_taken_from("another") == 0
    loop.run_until_complete(asyncio.gather(first, second))
    loop.close()
