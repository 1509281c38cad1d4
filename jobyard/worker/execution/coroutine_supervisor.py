"""Runs attempts of an `async def` task concurrently on the event loop, watched from the worker's thread.

Each attempt has its own limits and lease, and an attempt that has not begun in time goes back to its queue,
as in `jobyard/worker/execution/supervisor.py`.
"""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from time import thread_time

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import ClaimedJob, NotStarted, Outcome
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault_and_commit
from jobyard.jobs.ledger.leases import Lease, LeasedJob
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.attempt import attempt_async, outcome_of_failure
from jobyard.worker.execution.event_loop import abandon_if_blocked, get_event_loop
from jobyard.worker.execution.interruptions import AttemptStopped, TimeLimitExceeded
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
from jobyard.worker.execution.stopped import stopped_outcome

log = structlog.get_logger()


class Running:
    """One attempt: the loop's thread sets `began` and the result, the worker's thread sets the rest."""

    def __init__(self, job: ClaimedJob, lease: Lease, limits: Limits) -> None:
        self.job, self.lease, self.limits = job, lease, limits
        self.began: float | None = None
        self.seconds_taken_before = 0.0  # by others from this job, before it began
        self.value: Outcome | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.is_withdrawn = False
        self.last_sent: SentInterruption | None = None
        self.cancel: Callable[[], object] = lambda: None


class CoroutineSupervisor:
    """Runs and watches the attempts at several jobs of one task, which begin at once."""

    def __init__(
        self, task: AnyDefinition, leased_jobs: Sequence[LeasedJob], patience_seconds: float
    ) -> None:
        self._task = task
        self._attempts = [Running(job, lease, limits_of(task, job)) for job, lease in leased_jobs]
        self._begins_before = monotonic() + patience_seconds
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._unfinished = len(self._attempts)
        self._cpu, self._ended, self._busy = 0.0, 0, (0.0, 0)
        self._loop = get_event_loop()
        for running in self._attempts:
            running.lease.wake = self._changed.set
        self._loop.call(self._begin_all)

    # On the loop's thread.

    def _begin_all(self) -> None:
        self._cpu, self._ended = thread_time(), self._loop.ended
        for running in self._attempts:
            task = self._loop.loop.create_task(self._attempt(running), name=running.job.id)
            running.cancel = task.cancel

    async def _attempt(self, running: Running) -> None:
        process = os.getpid()
        async with self._loop.slots:
            if self._may_begin(running):
                try:
                    running.value = await attempt_async(
                        self._task,
                        running.job,
                        lambda: running.last_sent.interruption if running.last_sent else None,
                    )
                except BaseException as error:
                    running.error = error
        if os.getpid() != process:
            os._exit(1)  # a child that the task has forked, and that returned here
        self._on_ended(running)

    def _may_begin(self, running: Running) -> bool:
        with self._lock:
            if not running.is_withdrawn:
                running.seconds_taken_before = self._loop.stalls.seconds_taken_from(running.job.id)
                running.began = monotonic()
            return not running.is_withdrawn

    def _on_ended(self, running: Running) -> None:
        self._loop.ended += running.began is not None
        self._busy = thread_time() - self._cpu, self._loop.ended - self._ended
        self._loop.stalls.forget(running.job.id)
        running.is_over = True
        self._unfinished -= 1
        if not self._unfinished or monotonic() >= self._begins_before:
            self._changed.set()

    # On the worker's thread.

    def outcomes(self) -> Iterator[list[Outcome]]:
        """Yield the outcomes: all at once, or one by one as they end if that takes too long."""
        rest, ended = self._attempts, list[Outcome]()
        while rest:
            now = monotonic()
            steps = [(running, self._take_next_step(running, now)) for running in rest]
            ended += [outcome for _, outcome in steps if not isinstance(outcome, Wait)]
            waits = {running: wait.until for running, wait in steps if isinstance(wait, Wait)}
            rest = list(waits)
            if ended and (not rest or now >= self._begins_before):
                yield ended
                ended = []
            if waits:
                self._wait(min(*waits.values(), self._begins_before if ended else math.inf))

    def run_time(self) -> tuple[float, int]:
        """Return the seconds for which the attempts kept the loop busy, and how many attempts began.

        An attempt's share is the loop's CPU time, or the time between two beginnings where attempts block.
        """
        begun = sorted(running.began for running in self._attempts if running.began is not None)
        busy_seconds, ended = self._busy
        interval = (begun[-1] - begun[0]) / (len(begun) - 1) if len(begun) > 1 else 0.0
        return max(busy_seconds / max(ended, 1), interval) * len(begun), len(begun)

    def _take_next_step(self, running: Running, now: float) -> Outcome | Wait:
        """Take the next step for one attempt: return its outcome, or until when to wait for it."""
        if running.is_over and running.began is not None:
            return self._outcome(running)
        step = next_step(
            now,
            began=self._fair_beginning(running),
            last_sent=running.last_sent,
            reason_to_stop=running.lease.reason_to_stop(now),
            fenced_at=running.lease.fenced_at,
            begins_before=self._begins_before,
            limits=running.limits,
        )
        match step:
            case Withdraw():
                return self._withdraw(running) or self._take_next_step(running, now)
            case Interrupt(interruption):
                running.last_sent = SentInterruption(interruption, now)
                self._loop.call(running.cancel)
                return self._take_next_step(running, now)
            case GiveUp(None):
                return self._give_up_at_hard_limit(running, now)
            case GiveUp(stop):
                self._leave_behind(running, str(stop))
                return stopped_outcome(self._task, running.job, str(stop))
            case Wait(until):
                # One that begins after this reaches no limit sooner.
                return Wait(min(until, now + running.limits.soft) if running.began is None else until)

    def _fair_beginning(self, running: Running) -> float | None:
        # The seconds for which other jobs have blocked the loop do not count.
        if running.began is None:
            return None
        taken = self._loop.stalls.seconds_taken_from(running.job.id) - running.seconds_taken_before
        return running.began + taken

    def _wait(self, until: float) -> None:
        self._changed.wait(max(0.0, until - monotonic()))
        self._changed.clear()  # before the next check, which then misses no change

    def _withdraw(self, running: Running) -> Outcome | None:
        """Keep an attempt from beginning; return None if it has just begun."""
        job = running.job
        with self._lock:
            if running.began is not None:
                return None
            running.is_withdrawn = True
        return NotStarted(job.id, job.attempt)

    def _outcome(self, running: Running) -> Outcome:
        if running.value is not None:
            return running.value  # even if it was interrupted: the ledger decides whether it still counts
        if running.last_sent is not None and isinstance(running.last_sent.interruption, AttemptStopped):
            return stopped_outcome(self._task, running.job, str(running.last_sent.interruption))
        error = running.error or RuntimeError("the attempt ended without an outcome")
        return outcome_of_failure(self._task, running.job, error)

    def _give_up_at_hard_limit(self, running: Running, now: float) -> Outcome:
        error = TimeLimitExceeded(running.limits.soft, running.limits.hard)
        outcome = outcome_of_failure(self._task, running.job, error)
        # Before the attempt itself says that it is over.
        report_abandoned(self._task, running.job, error, outcome)
        running.last_sent = SentInterruption(AttemptStopped(str(error)), now)
        self._loop.call(running.cancel)
        self._leave_behind(running, str(error))
        return outcome

    def _leave_behind(self, running: Running, reason: str) -> None:
        if abandon_if_blocked(self._loop):
            count_fault_and_commit(get_ledger().database, FaultKind.THREAD_LEFT_BEHIND)
            job = running.job
            log.error("event loop left behind", job_id=job.id, attempt=job.attempt, reason=reason)
