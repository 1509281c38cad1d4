"""Runs attempts of an `async def` task side by side on the event loop, and watches them from the worker's
thread.

Each has its own limits and its own lease, and what has not begun in time goes back, as in
`jobyard/worker/execution/supervisor.py`.
"""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from time import thread_time
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import ClaimedJob, HandedBack, NotStarted, Outcome
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import Tally, count_alone
from jobyard.jobs.ledger.leases import Held, Lease
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.attempt import attempt_async, failed
from jobyard.worker.execution.event_loop import get_event_loop, give_up
from jobyard.worker.execution.interruptions import AttemptStopped, TimeLimitExceeded
from jobyard.worker.execution.next_step import GiveUp, Interrupt, Limits, Told, Wait, Withdraw, next_step

log = structlog.get_logger()

# Until an attempt that has not begun yet is looked at again, where its limits count from its beginning.
LOOK_AGAIN_SECONDS: Final = 0.05


class Running:
    """One attempt: `began` and how it ended are set on the loop's thread, the rest on the worker's."""

    def __init__(self, job: ClaimedJob, lease: Lease) -> None:
        self.job, self.lease = job, lease
        self.began: float | None = None
        self.value: Outcome | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.is_withdrawn = False
        self.told: Told | None = None
        self.cancel: Callable[[], object] = lambda: None


class CoroutineSupervisor:
    """The attempts at some jobs of one task, which begin as soon as this is made."""

    def __init__(self, task: AnyDefinition, held: Sequence[Held], patience_seconds: float) -> None:
        self._task = task
        self._attempts = [Running(job, lease) for job, lease in held]
        self._begins_before = monotonic() + patience_seconds
        self._limits = Limits.of(task.soft_limit, task.hard_limit)
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._under_way = len(self._attempts)
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
                        self._task, running.job, lambda: running.told.interruption if running.told else None
                    )
                except BaseException as error:
                    running.error = error
        if os.getpid() != process:
            os._exit(1)  # a child that the task has forked, and that came back here
        self._on_ended(running)

    def _may_begin(self, running: Running) -> bool:
        with self._lock:
            if not running.is_withdrawn:
                running.began = monotonic()
            return not running.is_withdrawn

    def _on_ended(self, running: Running) -> None:
        self._loop.ended += running.began is not None
        self._busy = thread_time() - self._cpu, self._loop.ended - self._ended
        running.is_over = True
        self._under_way -= 1
        if not self._under_way or monotonic() >= self._begins_before:
            self._changed.set()

    # On the worker's thread.

    def outcomes(self) -> Iterator[list[Outcome]]:
        """Yield how they ended: all at once, or where that takes too long, as they end."""
        rest, ended = self._attempts, list[Outcome]()
        while rest:
            now = monotonic()
            looked_at = [(running, self._take_next_step(running, now)) for running in rest]
            ended += [outcome for _, outcome in looked_at if not isinstance(outcome, Wait)]
            waits = {running: wait.until for running, wait in looked_at if isinstance(wait, Wait)}
            rest = list(waits)
            if ended and (not rest or now >= self._begins_before):
                yield ended
                ended = []
            if waits:
                self._wait(min(*waits.values(), self._begins_before if ended else math.inf))

    def measured(self) -> tuple[float, int]:
        """Return the seconds for which the attempts held up the loop, and how many there were.

        By its processor's time; or by the time from one beginning to the next, where they block.
        """
        begun = sorted(running.began for running in self._attempts if running.began is not None)
        busy, among = self._busy
        apart = (begun[-1] - begun[0]) / (len(begun) - 1) if len(begun) > 1 else 0.0
        return max(busy / max(among, 1), apart) * len(begun), len(begun)

    def _take_next_step(self, running: Running, now: float) -> Outcome | Wait:
        """Do what is to be done about one attempt: return how it ended, or until when to wait for it."""
        if running.is_over and running.began is not None:
            return self._outcome(running)
        step = next_step(
            now,
            began=running.began,
            told=running.told,
            reason_to_stop=running.lease.reason_to_stop(now),
            fenced_at=running.lease.fenced_at,
            begins_before=self._begins_before,
            limits=self._limits,
        )
        match step:
            case Withdraw():
                return self._withdraw(running) or self._take_next_step(running, now)
            case Interrupt(interruption):
                running.told = Told(interruption, now)
                self._loop.call(running.cancel)
                return self._take_next_step(running, now)
            case GiveUp(None):
                return self._given_up_at_hard_limit(running, now)
            case GiveUp(stop):
                self._leave_behind(running, str(stop))
                return self._stopped(running, str(stop))
            case Wait(until):
                has_limits = self._limits != Limits()
                is_to_begin = running.began is None and has_limits
                return Wait(min(until, now + LOOK_AGAIN_SECONDS) if is_to_begin else until)

    def _wait(self, until: float) -> None:
        self._changed.wait(max(0.0, until - monotonic()))
        self._changed.clear()  # before the next look, which then misses nothing

    def _withdraw(self, running: Running) -> Outcome | None:
        """Keep it from beginning, unless it does so at this very moment."""
        job = running.job
        with self._lock:
            if running.began is not None:
                return None
            running.is_withdrawn = True
        return NotStarted(job.id, job.attempt)

    def _outcome(self, running: Running) -> Outcome:
        if running.value is not None:
            return (
                running.value
            )  # even if it was told to stop; whether it still counts is for the ledger to say
        if running.told is not None and isinstance(running.told.interruption, AttemptStopped):
            return self._stopped(running, str(running.told.interruption))
        error = running.error or RuntimeError("the attempt ended without an outcome")
        return failed(self._task, running.job, error)

    def _given_up_at_hard_limit(self, running: Running, now: float) -> Outcome:
        error = TimeLimitExceeded(self._task.soft_limit, self._task.hard_limit)
        running.told = Told(AttemptStopped(str(error)), now)
        self._loop.call(running.cancel)
        self._leave_behind(running, str(error))
        return failed(self._task, running.job, error)

    def _stopped(self, running: Running, reason: str) -> Outcome:
        job = running.job
        log.warning("attempt stopped", job_id=job.id, attempt=job.attempt, reason=reason)
        return HandedBack(job.id, job.attempt, reason)

    def _leave_behind(self, running: Running, reason: str) -> None:
        if give_up(self._loop):
            count_alone(get_ledger().database, Tally.THREAD_LEFT_BEHIND)
            job = running.job
            log.error("event loop left behind", job_id=job.id, attempt=job.attempt, reason=reason)
