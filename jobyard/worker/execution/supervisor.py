"""Runs attempts on an attempt thread, watched from the worker's thread for limits, lost leases and a stop.

Every kind of pool works like this (`jobyard/worker/execution/attempt_thread.py`). An attempt that does not
end when it is interrupted is abandoned: its thread is left behind, and its later result no longer counts.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import ClaimedJob, NotStarted, Outcome
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault_and_commit
from jobyard.jobs.ledger.leases import Lease, LeasedJob
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.attempt import attempt, outcome_of_failure
from jobyard.worker.execution.attempt_thread import ThreadCall, get_attempt_thread, threads_left_behind
from jobyard.worker.execution.coroutine_supervisor import CoroutineSupervisor
from jobyard.worker.execution.interruptions import AttemptStopped, TimeLimitExceeded
from jobyard.worker.execution.isolated import attempt_isolated
from jobyard.worker.execution.lifecycle import report_abandoned
from jobyard.worker.execution.limits import limits_of
from jobyard.worker.execution.next_step import (
    GiveUp,
    Interrupt,
    Limits,
    SentInterruption,
    Wait,
    Withdraw,
    next_step,
)
from jobyard.worker.execution.run_time_recorder import get_run_time_recorder
from jobyard.worker.execution.stopped import stopped_outcome

log = structlog.get_logger()

# How soon to check again whether an attempt has begun, because its limits count from then.
LOOK_AGAIN_SECONDS: Final = 0.05


def run_attempts(
    task: AnyDefinition, leased_jobs: Sequence[LeasedJob], patience_seconds: float
) -> Iterator[list[Outcome]]:
    """Run attempts, and yield their outcomes: all at once, unless it takes too long.

    Attempts run one after another, or concurrently if the task is `async def`. After `patience_seconds` no
    further attempt begins: the outcomes so far are yielded, with `NotStarted` for those that have not begun,
    and later the outcome of the running attempt.
    """
    supervisor: CoroutineSupervisor | ThreadSupervisor
    if task.is_async:
        supervisor = CoroutineSupervisor(task, leased_jobs, patience_seconds)
    else:
        functions = [partial(_run_unless_stopped, attempt, task, job, lease) for job, lease in leased_jobs]
        limits = [limits_of(task, job) for job, _ in leased_jobs]
        supervisor = ThreadSupervisor(task, leased_jobs, functions, limits, patience_seconds)
    yield from supervisor.outcomes()
    get_run_time_recorder().record(task.name, *supervisor.run_time())


def run_quarantined_attempt(task: AnyDefinition, job: ClaimedJob, lease: Lease) -> Outcome:
    """Run one attempt of a quarantined job in a process of its own, until it ends or has to stop."""
    log.warning("runs isolated, after lost workers", job_id=job.id, attempt=job.attempt, lost=job.lost)
    function = partial(_run_unless_stopped, attempt_isolated, task, job, lease)
    # The isolated process enforces the limits itself.
    [[outcome]] = ThreadSupervisor(task, [(job, lease)], [function], [Limits()], math.inf).outcomes()
    return outcome


def run_attempt(task: AnyDefinition, job: ClaimedJob, lease: Lease) -> Outcome:
    """Run one attempt until it ends or has to stop."""
    [[outcome]] = run_attempts(task, [(job, lease)], math.inf)
    return outcome


def _run_unless_stopped(
    function: Callable[[AnyDefinition, ClaimedJob], Outcome],
    task: AnyDefinition,
    job: ClaimedJob,
    lease: Lease,
) -> Outcome:
    if lease.stop_reason is not None:
        return NotStarted(job.id, job.attempt)
    return function(task, job)


class ThreadSupervisor:
    """Watches one sequence of attempts; the worker's thread wakes only when it has a step to take."""

    def __init__(
        self,
        task: AnyDefinition,
        leased_jobs: Sequence[LeasedJob],
        functions: Iterable[Callable[[], Outcome]],
        limits: Sequence[Limits],
        patience_seconds: float,
    ) -> None:
        self._task, self._leased_jobs, self._limits = task, leased_jobs, limits
        self._begins_before = monotonic() + patience_seconds
        self._last_sent: SentInterruption | None = None  # to the running attempt
        self._sequence = get_attempt_thread().start(functions)
        for _, lease in leased_jobs:
            lease.wake = self._sequence.changed.set

    def outcomes(self) -> Iterator[list[Outcome]]:
        """Yield the outcomes in one list, or in two if the attempts take too long."""
        ended: list[Outcome] = []
        index = 0
        while index < len(self._sequence):
            call, (job, lease) = self._sequence.calls[index], self._leased_jobs[index]
            outcome: Outcome | None = None
            if call.is_over:
                outcome = self._outcome(job, call)
            elif monotonic() >= self._begins_before:
                self._begins_before = math.inf
                if so_far := ended + self._withdraw_rest():
                    yield so_far
                    ended = []
            else:
                outcome = self._take_next_step(call, job, lease, self._limits[index])
            if outcome is not None:
                ended.append(outcome)
                index, self._last_sent = index + 1, None
        yield ended + self._withdraw_rest()

    def run_time(self) -> tuple[float, int]:
        """Return the total seconds of all attempts that began, and their number."""
        begun = self._sequence.calls[: len(self._sequence)]
        return sum((call.ended or monotonic()) - call.began for call in begun if call.began), len(begun)

    def _take_next_step(
        self, call: ThreadCall[Outcome], job: ClaimedJob, lease: Lease, limits: Limits
    ) -> Outcome | None:
        now = monotonic()
        step = next_step(
            now,
            began=call.began,
            last_sent=self._last_sent,
            reason_to_stop=lease.reason_to_stop(now),
            fenced_at=lease.fenced_at,
            begins_before=self._begins_before,
            limits=limits,
        )
        match step:
            case Wait(until):
                self._wait(min(until, self._begins_before), call)
            case Withdraw():
                self._sequence.end_after_current()
            case Interrupt(interruption):
                if isinstance(interruption, AttemptStopped):
                    self._sequence.end_after_current()
                self._last_sent = SentInterruption(interruption, now)
                call.interrupt(interruption)
            case GiveUp(None):
                return self._give_up_at_hard_limit(job, call, limits)
            case GiveUp(stop):
                get_attempt_thread().leave_behind()
                return stopped_outcome(self._task, job, str(stop))
        return None

    def _wait(self, until: float, call: ThreadCall[Outcome]) -> None:
        if call.began is None:
            until = min(until, monotonic() + LOOK_AGAIN_SECONDS)
        self._sequence.changed.wait(max(0.0, until - monotonic()))
        self._sequence.changed.clear()  # before the next check, which then misses no change

    def _withdraw_rest(self) -> list[Outcome]:
        """Begin no further attempt; return `NotStarted` once for each that has not begun."""
        self._sequence.end_after_current()
        begun = len(self._sequence)
        self._leased_jobs, rest = self._leased_jobs[:begun], self._leased_jobs[begun:]
        return [NotStarted(job.id, job.attempt) for job, _ in rest]

    def _outcome(self, job: ClaimedJob, call: ThreadCall[Outcome]) -> Outcome:
        if call.value is not None:
            return call.value  # even if it was interrupted: the ledger decides whether it still counts
        if self._last_sent is not None and isinstance(self._last_sent.interruption, AttemptStopped):
            return stopped_outcome(self._task, job, str(self._last_sent.interruption))
        # The interruption came outside the task's code, where `attempt` does not catch it.
        error = call.error or RuntimeError("the attempt ended without an outcome")
        return outcome_of_failure(self._task, job, error)

    def _give_up_at_hard_limit(self, job: ClaimedJob, call: ThreadCall[Outcome], limits: Limits) -> Outcome:
        error = TimeLimitExceeded(limits.soft, limits.hard)
        outcome = outcome_of_failure(self._task, job, error)
        # Before the attempt's own thread says that it is over.
        report_abandoned(self._task, job, error, outcome)
        self._sequence.end_after_current()
        call.interrupt(AttemptStopped(str(error)))
        get_attempt_thread().leave_behind()
        count_fault_and_commit(get_ledger().database, FaultKind.THREAD_LEFT_BEHIND)
        left = threads_left_behind()
        log.error("thread left behind", job_id=job.id, attempt=job.attempt, reason=str(error), in_all=left)
        return outcome
