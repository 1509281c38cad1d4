"""Runs attempts on an attempt thread and watches them from the worker's: limits, lost leases, a worker that
stops.

Every kind of pool does it this way (`jobyard/worker/execution/attempt_thread.py`). An attempt that does not
end when it is told to is given up: its thread is left behind, and what it does later no longer counts.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import ClaimedJob, HandedBack, NotStarted, Outcome
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import Tally, count_alone
from jobyard.jobs.ledger.leases import Held, Lease
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.attempt import attempt, failed
from jobyard.worker.execution.attempt_thread import ThreadCall, get_attempt_thread, threads_left_behind
from jobyard.worker.execution.coroutine_supervisor import CoroutineSupervisor
from jobyard.worker.execution.interruptions import AttemptStopped, TimeLimitExceeded
from jobyard.worker.execution.isolated import attempt_isolated
from jobyard.worker.execution.next_step import GiveUp, Interrupt, Limits, Told, Wait, Withdraw, next_step
from jobyard.worker.execution.run_times import get_stopwatch

log = structlog.get_logger()

# Until an attempt that has not begun yet is looked at again: its limits count from its beginning.
LOOK_AGAIN_SECONDS: Final = 0.05


def attempts(task: AnyDefinition, held: Sequence[Held], patience_seconds: float) -> Iterator[list[Outcome]]:
    """Run attempts, and yield how they ended: all at once, unless it takes too long.

    They run one after another, or side by side where the task is `async def`. After `patience_seconds`
    nothing more begins: what has ended is yielded with `NotStarted` for the rest, and then the one that still
    runs, when it ends.
    """
    supervisor: CoroutineSupervisor | ThreadSupervisor
    if task.is_async:
        supervisor = CoroutineSupervisor(task, held, patience_seconds)
    else:
        functions = [partial(_begin, attempt, task, job, lease) for job, lease in held]
        limits = Limits.of(task.soft_limit, task.hard_limit)
        supervisor = ThreadSupervisor(task, held, functions, limits, patience_seconds)
    yield from supervisor.outcomes()
    get_stopwatch().note(task.name, *supervisor.measured())


def attempt_of_quarantined(task: AnyDefinition, job: ClaimedJob, lease: Lease) -> Outcome:
    """Run one attempt to its end, or as far as it may go, in a process of its own."""
    log.warning("runs isolated, after lost workers", job_id=job.id, attempt=job.attempt, lost=job.lost)
    function = partial(_begin, attempt_isolated, task, job, lease)
    # That process keeps the limits.
    [[outcome]] = ThreadSupervisor(task, [(job, lease)], [function], Limits(), math.inf).outcomes()
    return outcome


def run_attempt(task: AnyDefinition, job: ClaimedJob, lease: Lease) -> Outcome:
    """Run one attempt to its end, or as far as it may go."""
    [[outcome]] = attempts(task, [(job, lease)], math.inf)
    return outcome


def _begin(
    function: Callable[[AnyDefinition, ClaimedJob], Outcome],
    task: AnyDefinition,
    job: ClaimedJob,
    lease: Lease,
) -> Outcome:
    if lease.must_stop is not None:
        return NotStarted(job.id, job.attempt)
    return function(task, job)


class ThreadSupervisor:
    """Watches one sequence of attempts; the worker's thread wakes only when there is something to do."""

    def __init__(
        self,
        task: AnyDefinition,
        held: Sequence[Held],
        functions: Iterable[Callable[[], Outcome]],
        limits: Limits,
        patience_seconds: float,
    ) -> None:
        self._task, self._held, self._limits = task, held, limits
        self._begins_before = monotonic() + patience_seconds
        self._told: Told | None = None  # of the attempt that runs
        self._sequence = get_attempt_thread().start(functions)
        for _, lease in held:
            lease.wake = self._sequence.changed.set

    def outcomes(self) -> Iterator[list[Outcome]]:
        """Yield how the attempts ended, in one list, or in two where they take too long."""
        ended: list[Outcome] = []
        place = 0
        while place < len(self._sequence):
            call, (job, lease) = self._sequence.calls[place], self._held[place]
            outcome: Outcome | None = None
            if call.is_over:
                outcome = self._outcome(job, call)
            elif monotonic() >= self._begins_before:
                self._begins_before = math.inf
                if so_far := ended + self._cut():
                    yield so_far
                    ended = []
            else:
                outcome = self._take_next_step(call, job, lease)
            if outcome is not None:
                ended.append(outcome)
                place, self._told = place + 1, None
        yield ended + self._cut()

    def measured(self) -> tuple[float, int]:
        """Return the seconds that all attempts took which began, and how many those were."""
        begun = self._sequence.calls[: len(self._sequence)]
        return sum((call.ended or monotonic()) - call.began for call in begun if call.began), len(begun)

    def _take_next_step(self, call: ThreadCall[Outcome], job: ClaimedJob, lease: Lease) -> Outcome | None:
        now = monotonic()
        step = next_step(
            now,
            began=call.began,
            told=self._told,
            reason_to_stop=lease.reason_to_stop(now),
            fenced_at=lease.fenced_at,
            begins_before=self._begins_before,
            limits=self._limits,
        )
        match step:
            case Wait(until):
                self._wait(min(until, self._begins_before), call)
            case Withdraw():
                self._sequence.cut()
            case Interrupt(interruption):
                if isinstance(interruption, AttemptStopped):
                    self._sequence.cut()
                self._told = Told(interruption, now)
                call.interrupt(interruption)
            case GiveUp(None):
                return self._given_up_at_hard_limit(job, call)
            case GiveUp(stop):
                get_attempt_thread().leave_behind()
                return _stopped(job, str(stop))
        return None

    def _wait(self, until: float, call: ThreadCall[Outcome]) -> None:
        if call.began is None:
            until = min(until, monotonic() + LOOK_AGAIN_SECONDS)
        self._sequence.changed.wait(max(0.0, until - monotonic()))
        self._sequence.changed.clear()  # before the next look, which then misses nothing

    def _cut(self) -> list[Outcome]:
        """Let nothing more begin; return what becomes of those that have not, each of them once."""
        self._sequence.cut()
        begun = len(self._sequence)
        self._held, rest = self._held[:begun], self._held[begun:]
        return [NotStarted(job.id, job.attempt) for job, _ in rest]

    def _outcome(self, job: ClaimedJob, call: ThreadCall[Outcome]) -> Outcome:
        if call.value is not None:
            return call.value  # even if it was told to stop; whether it still counts is for the ledger to say
        if self._told is not None and isinstance(self._told.interruption, AttemptStopped):
            return _stopped(job, str(self._told.interruption))
        # Interrupted outside the task's own code, where `attempt` does not look.
        error = call.error or RuntimeError("the attempt ended without an outcome")
        return failed(self._task, job, error)

    def _given_up_at_hard_limit(self, job: ClaimedJob, call: ThreadCall[Outcome]) -> Outcome:
        error = TimeLimitExceeded(self._task.soft_limit, self._task.hard_limit)
        self._sequence.cut()
        call.interrupt(AttemptStopped(str(error)))
        get_attempt_thread().leave_behind()
        count_alone(get_ledger().database, Tally.THREAD_LEFT_BEHIND)
        left = threads_left_behind()
        log.error("thread left behind", job_id=job.id, attempt=job.attempt, reason=str(error), in_all=left)
        return failed(self._task, job, error)


def _stopped(job: ClaimedJob, reason: str) -> Outcome:
    log.warning("attempt stopped", job_id=job.id, attempt=job.attempt, reason=reason)
    return HandedBack(job.id, job.attempt, reason)
