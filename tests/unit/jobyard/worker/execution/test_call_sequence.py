"""Attempts one after another under one watch: each has its own limits and end, and what waits can go back."""

import math
import threading
import time
from collections.abc import Callable

import pytest

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import Cause, Failed, HandedBack, NotStarted, Outcome, Succeeded
from jobyard.jobs.ledger.leases import Lease, LeasedJob
from jobyard.worker.execution.supervisor import run_attempts
from tests.support.waiting import wait_until
from tests.support.watched import claimed, compute, doing, lease


def line(how_many: int) -> list[LeasedJob]:
    jobs = [claimed() for _ in range(how_many)]
    return [(job, lease(job)) for job in jobs]


class Deeds:
    """A task's body that does something else each time, and counts."""

    def __init__(self, *deeds: Callable[[], object]) -> None:
        self._deeds, self.begun = list(deeds), 0

    def __call__(self) -> object:
        self.begun += 1
        return self._deeds[self.begun - 1]()


def nothing() -> None:
    return None


def kinds(outcomes: list[Outcome]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


def test_each_attempt_has_its_own_outcome_in_order() -> None:
    held = line(50)
    numbers = Deeds(*(lambda n=n: n for n in range(50)))
    [outcomes] = run_attempts(doing(numbers), held, math.inf)
    assert [o.job_id for o in outcomes] == [job.id for job, _ in held]
    assert [o.result for o in outcomes if isinstance(o, Succeeded)] == [f'"{n}"' for n in range(50)]


def test_after_some_patience_what_has_not_begun_goes_back_and_what_has_ended_counts() -> None:
    go_on = threading.Event()
    deeds = Deeds(nothing, go_on.wait, nothing, nothing)
    parts = run_attempts(doing(deeds), line(4), 0.1)
    assert kinds(next(parts)) == [Succeeded, NotStarted, NotStarted]
    go_on.set()
    assert [kinds(part) for part in parts] == [[Succeeded]]
    assert deeds.begun == 2


def test_what_has_ended_before_a_long_last_one_does_not_wait_for_it() -> None:
    go_on = threading.Event()
    parts = run_attempts(doing(Deeds(nothing, nothing, go_on.wait)), line(3), 0.1)
    assert kinds(next(parts)) == [Succeeded, Succeeded]
    go_on.set()
    assert [kinds(part) for part in parts] == [[Succeeded]]


@pytest.mark.parametrize("guilty", [0, 1, 3])
def test_a_limit_ends_the_attempt_that_reached_it_and_no_other(guilty: int) -> None:
    deeds = [nothing] * 4
    deeds[guilty] = compute
    [outcomes] = run_attempts(doing(Deeds(*deeds), time_limit=0.1), line(4), math.inf)
    assert [n for n, o in enumerate(outcomes) if isinstance(o, Failed)] == [guilty]
    failed = outcomes[guilty]
    assert isinstance(failed, Failed)
    assert failed.failure.cause is Cause.TIME_LIMIT
    assert len([o for o in outcomes if isinstance(o, Succeeded)]) == 3


def test_limits_count_for_each_attempt_anew() -> None:
    deeds = Deeds(*[lambda: time.sleep(0.06)] * 5)
    [outcomes] = run_attempts(doing(deeds, time_limit=0.2), line(5), math.inf)
    assert kinds(outcomes) == [Succeeded] * 5


def test_a_thread_that_is_given_up_takes_none_of_the_rest_along() -> None:
    go_on = threading.Event()

    def stubborn() -> None:
        while not go_on.is_set():
            try:
                go_on.wait(5)
            except BaseException:
                continue

    deeds = Deeds(nothing, stubborn, nothing, nothing)
    parts = run_attempts(doing(deeds, soft_time_limit=0.05, time_limit=0.1), line(4), math.inf)
    [outcomes] = parts
    assert kinds(outcomes) == [Succeeded, Failed, NotStarted, NotStarted]
    go_on.set()
    time.sleep(0.2)
    assert deeds.begun == 2, "the thread went on with jobs that are no longer its own"


def test_a_worker_that_stops_hands_back_the_one_that_runs_and_the_rest() -> None:
    held = line(3)
    deeds = Deeds(nothing, compute, nothing)

    def stop() -> None:
        for _, its_lease in held:
            its_lease.stop("the worker is stopping")

    threading.Timer(0.1, stop).start()
    [outcomes] = run_attempts(doing(deeds), held, math.inf)
    assert kinds(outcomes) == [Succeeded, HandedBack, NotStarted]


def test_a_job_whose_lease_was_lost_before_its_turn_does_not_run() -> None:
    held = line(3)
    held[1][1].stop("the lease was lost")
    deeds = Deeds(nothing, nothing)
    [outcomes] = run_attempts(doing(deeds), held, math.inf)
    assert kinds(outcomes) == [Succeeded, NotStarted, Succeeded]
    assert deeds.begun == 2


def test_leases_that_could_not_be_renewed_stop_the_line() -> None:
    jobs = [claimed() for _ in range(3)]
    held = [(job, Lease(job, 0.2, monotonic())) for job in jobs]
    deeds = Deeds(nothing, compute, nothing)
    [outcomes] = run_attempts(doing(deeds), held, math.inf)
    assert kinds(outcomes) == [Succeeded, HandedBack, NotStarted]
    wait_until(lambda: deeds.begun == 2, 1, "nothing more to begin")
