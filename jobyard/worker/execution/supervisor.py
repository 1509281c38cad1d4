"""Watches an attempt from the worker's thread: limits, a lease that is lost, a worker that stops.

The attempt runs on a thread beside (`jobyard/worker/execution/attempt_thread.py`), on every kind of pool
alike. What does not end when it is told to is given up: the thread is left behind, and whatever it does later
no longer counts.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import ClaimedJob, HandedBack, NotStarted, Outcome
from jobyard.jobs.ledger.fault_counters import Tally, count_alone
from jobyard.jobs.ledger.leases import Held, Lease
from jobyard.jobs.ledger.ledger import get_ledger
from jobyard.worker.execution.attempt import attempt, failed
from jobyard.worker.execution.attempt_thread import Run, get_runner, threads_left_behind
from jobyard.worker.execution.coroutine_supervisor import Crowd
from jobyard.worker.execution.interruptions import (
    STOP_GRACE_SECONDS,
    AttemptStopped,
    SoftLimitReached,
    TimeLimitExceeded,
)
from jobyard.worker.execution.isolated import attempt_alone
from jobyard.worker.execution.run_times import get_stopwatch

if TYPE_CHECKING:
    from jobyard.tasks.task import AnyTask

log = structlog.get_logger()

# Until a thread that has just been given something to run is looked at again.
_SOON: Final = 0.05


def attempts(task: "AnyTask", held: Sequence[Held], patience_seconds: float) -> Iterator[list[Outcome]]:
    """Run attempts, and yield how they ended: all at once, unless it takes too long.

    One after another, or side by side where the task is `async def`.

    After `patience_seconds` nothing more begins: what has ended is yielded with `NotStarted` for the rest,
    and then the one that still runs, when it ends.
    """
    watch: Crowd | _Watch
    if task.is_async:
        watch = Crowd(task, held, patience_seconds)
    else:
        begin = [partial(_begin, attempt, task, job, lease) for job, lease in held]
        watch = _Watch(task, held, begin, (task.soft_limit, task.hard_limit), patience_seconds)
    yield from watch.outcomes()
    get_stopwatch().note(task.name, *watch.measured())


def attempt_of_suspect(task: "AnyTask", job: ClaimedJob, lease: Lease) -> Outcome:
    """Run one attempt to its end, or as far as it may go, in a process of its own."""
    log.warning("runs alone, after lost workers", job_id=job.id, attempt=job.attempt, lost=job.lost)
    begin = [partial(_begin, attempt_alone, task, job, lease)]
    # That process keeps the limits.
    [[outcome]] = _Watch(task, [(job, lease)], begin, (None, None), math.inf).outcomes()
    return outcome


def run_attempt(task: "AnyTask", job: ClaimedJob, lease: Lease) -> Outcome:
    """Run one attempt to its end, or as far as it may go."""
    [[outcome]] = attempts(task, [(job, lease)], math.inf)
    return outcome


def _begin(
    function: "Callable[[AnyTask, ClaimedJob], Outcome]", task: "AnyTask", job: ClaimedJob, lease: Lease
) -> Outcome:
    if lease.must_stop is not None:
        return HandedBack(job.id, job.attempt, lease.must_stop)
    return function(task, job)


class _Watch:
    """Looks after one line of attempts from the worker's thread; wakes only when there is something to do."""

    def __init__(
        self,
        task: "AnyTask",
        held: Sequence[Held],
        begin: Iterable[Callable[[], Outcome]],
        limits: tuple[float | None, float | None],
        patience_seconds: float,
    ) -> None:
        self._task, self._held, self._limits = task, held, limits
        self._cut_at = monotonic() + patience_seconds
        self._told: Run[Outcome] | None = None
        self._line = get_runner().start(begin)
        for _, lease in held:
            lease.wake = self._line.changed.set

    def outcomes(self) -> Iterator[list[Outcome]]:
        ended: list[Outcome] = []
        place = 0
        while place < len(self._line):
            run, (job, lease) = self._line.runs[place], self._held[place]
            if run.is_over:
                outcome: Outcome | None = _outcome(self._task, job, run)
            elif monotonic() < self._cut_at:
                outcome = self._look_after(run, job, lease)
            else:
                outcome, self._cut_at = None, math.inf
                if so_far := ended + self._cut():
                    yield so_far
                    ended = []
            if outcome is not None:
                ended.append(outcome)
                place += 1
        yield ended + self._cut()

    def measured(self) -> tuple[float, int]:
        """Return the seconds that all attempts took which began, and how many those were."""
        begun = self._line.runs[: len(self._line)]
        return sum((run.ended or monotonic()) - run.began for run in begun if run.began), len(begun)

    def _look_after(self, run: Run[Outcome], job: ClaimedJob, lease: Lease) -> Outcome | None:
        """Do what is to be done about a run, and return its outcome if that ended it; or wait."""
        now = monotonic()
        soft, hard = ((run.began or now) + limit if limit else math.inf for limit in self._limits)
        if self._told is run:
            soft = math.inf
        reason = lease.reason_to_stop(now)
        if run.began is None or (now < min(soft, hard) and reason is None):
            self._wait(lease.fenced_at if run.began else now + _SOON, soft, hard, self._cut_at)
            return None
        if reason is not None:
            self._line.cut()
            return self._stopped(job, run, reason)
        if now >= hard:
            self._line.cut()
            return _given_up(self._task, job, run)
        self._told = run
        run.interrupt(SoftLimitReached(self._task.soft_limit))
        return None

    def _wait(self, *deadlines: float) -> None:
        self._line.changed.wait(max(0.0, min(deadlines) - monotonic()))
        self._line.changed.clear()  # before anybody looks, so that what changes from here on is not missed

    def _cut(self) -> list[Outcome]:
        """Let nothing more begin; return what becomes of those that have not, each of them once."""
        self._line.cut()
        begun = len(self._line)
        self._held, rest = self._held[:begun], self._held[begun:]
        return [NotStarted(job.id, job.attempt) for job, _ in rest]

    def _stopped(self, job: ClaimedJob, run: Run[Outcome], reason: str) -> Outcome:
        run.interrupt(AttemptStopped(reason))
        self._line.changed.wait(STOP_GRACE_SECONDS)
        if run.is_over and run.value is not None:
            return run.value  # it ended after all; whether it still counts is for the ledger to say
        if not run.is_over:
            get_runner().leave_behind()  # the process is about to end, or the thread no longer to count
        log.warning("attempt stopped", job_id=job.id, attempt=job.attempt, reason=reason)
        return HandedBack(job.id, job.attempt, reason)


def _outcome(task: "AnyTask", job: ClaimedJob, run: Run[Outcome]) -> Outcome:
    if run.value is not None:
        return run.value
    # Interrupted outside the task's own code, where `attempt` does not look.
    return failed(task, job, run.error or RuntimeError("the attempt ended without an outcome"))


def _given_up(task: "AnyTask", job: ClaimedJob, run: Run[Outcome]) -> Outcome:
    error = TimeLimitExceeded(task.soft_limit, task.hard_limit)
    run.interrupt(AttemptStopped(str(error)))
    _leave_behind(job, str(error))
    return failed(task, job, error)


def _leave_behind(job: ClaimedJob, reason: str) -> None:
    get_runner().leave_behind()
    count_alone(get_ledger().engine, Tally.THREAD_LEFT_BEHIND)
    log.error(
        "thread left behind", job_id=job.id, attempt=job.attempt, reason=reason, in_all=threads_left_behind()
    )
