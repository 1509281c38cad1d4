"""Watches an attempt from the worker's thread: limits, a lease that is lost, a worker that stops.

The attempt runs on a thread beside (`tasks/runner.py`), on every kind of pool alike. What does not end when
it is told to is given up: the thread is left behind, and whatever it does later no longer counts.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from jobs.clock import monotonic
from jobs.errors import Interruption
from jobs.job import ClaimedJob, HandedBack, Outcome
from jobs.leases import Lease
from jobs.ledger import get_ledger
from jobs.tallies import Tally, count_alone
from tasks.alone import attempt_alone, is_suspect
from tasks.attempt import attempt, failed
from tasks.runner import Run, get_runner, threads_left_behind

if TYPE_CHECKING:
    from tasks.base import AnyTask

log = structlog.get_logger()

# From being told to stop to being left behind: what is cleaned up in a `finally` gets so much time.
STOP_GRACE_SECONDS: Final = 2.0


class SoftLimitReached(SoftTimeLimitExceeded, Interruption):
    """Celery's exception, as it is raised in a task that has reached its soft limit."""


SoftLimitReached.__qualname__ = SoftTimeLimitExceeded.__qualname__  # the name that people know


class TimeLimitExceeded(SoftTimeLimitExceeded):
    """An attempt that did not heed its soft limit was given up at the hard one."""

    def __str__(self) -> str:
        return str(self.args[0])


class AttemptStopped(Interruption):
    """Raised in a task whose attempt no longer counts; no `Exception`, lest a task take it for a fault."""


class Meanwhile(NamedTuple):
    """What is to be done while an attempt runs, when it has not ended by then (monotonic)."""

    at: float
    do: Callable[[], None]


def run_attempt(
    task: "AnyTask", job: ClaimedJob, lease: Lease, meanwhile: Meanwhile | None = None
) -> Outcome:
    """Run one attempt to its end, or as far as it may go; a suspect runs in a process of its own."""
    if not is_suspect(job):
        return supervised(task, job, lease, meanwhile)
    log.warning("runs alone, after lost workers", job_id=job.id, attempt=job.attempt, lost=job.lost)
    # That process keeps the limits.
    return _watched(task, job, lease, attempt_alone, (None, None), meanwhile)


def supervised(task: "AnyTask", job: ClaimedJob, lease: Lease, meanwhile: Meanwhile | None = None) -> Outcome:
    """Run one attempt in this process."""
    return _watched(task, job, lease, attempt, (task.soft_limit, task.hard_limit), meanwhile)


def _watched(
    task: "AnyTask",
    job: ClaimedJob,
    lease: Lease,
    function: "Callable[[AnyTask, ClaimedJob], Outcome]",
    limits: tuple[float | None, float | None],
    meanwhile: Meanwhile | None,
) -> Outcome:
    if lease.must_stop is not None:
        return HandedBack(job.id, job.attempt, lease.must_stop)
    run = get_runner().start(lambda: function(task, job))
    lease.wake = run.changed.set
    began, has_been_told = monotonic(), False
    soft, hard = (began + limit if limit else None for limit in limits)
    while True:
        other = meanwhile.at if meanwhile is not None else None
        _wait(run, lease.fenced_at, hard, None if has_been_told else soft, other)
        now = monotonic()
        if run.is_over:
            return _outcome(task, job, run)
        if meanwhile is not None and now >= meanwhile.at:
            meanwhile.do()
            meanwhile = None
        if lease.must_stop is not None or now >= lease.fenced_at:
            return _stopped(job, run, lease.must_stop or "the lease could not be renewed in time")
        if hard is not None and now >= hard:
            return _given_up(task, job, run)
        if soft is not None and now >= soft and not has_been_told:
            has_been_told = True
            run.interrupt(SoftLimitReached(task.soft_limit))


def _wait(run: Run[Outcome], *deadlines: float | None) -> None:
    nearest = min(deadline for deadline in deadlines if deadline is not None)
    run.changed.wait(max(0.0, nearest - monotonic()))
    run.changed.clear()  # before anybody looks, so that what changes from here on is not missed


def _outcome(task: "AnyTask", job: ClaimedJob, run: Run[Outcome]) -> Outcome:
    if run.value is not None:
        return run.value
    # Interrupted outside the task's own code, where `attempt` does not look.
    return failed(task, job, run.error or RuntimeError("the attempt ended without an outcome"))


def _stopped(job: ClaimedJob, run: Run[Outcome], reason: str) -> Outcome:
    run.interrupt(AttemptStopped(reason))
    run.changed.wait(STOP_GRACE_SECONDS)
    if run.is_over and run.value is not None:
        return run.value  # it ended after all; whether it still counts is for the ledger to say
    if not run.is_over:
        get_runner().leave_behind()  # the process is about to end, or the thread no longer to count
    log.warning("attempt stopped", job_id=job.id, attempt=job.attempt, reason=reason)
    return HandedBack(job.id, job.attempt, reason)


def _given_up(task: "AnyTask", job: ClaimedJob, run: Run[Outcome]) -> Outcome:
    words = f"not done after {task.hard_limit} s, and it did not heed its soft limit of {task.soft_limit} s"
    run.interrupt(AttemptStopped(words))
    _leave_behind(job, words)
    return failed(task, job, TimeLimitExceeded(words))


def _leave_behind(job: ClaimedJob, reason: str) -> None:
    get_runner().leave_behind()
    count_alone(get_ledger().engine, Tally.THREAD_LEFT_BEHIND)
    log.error(
        "thread left behind", job_id=job.id, attempt=job.attempt, reason=reason, in_all=threads_left_behind()
    )
