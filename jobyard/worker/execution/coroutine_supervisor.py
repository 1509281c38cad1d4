"""Attempts of an `async def` task, all at once on the event loop, looked after from the worker's thread.

What `jobyard/worker/execution/supervisor.py` does for one attempt after another, this does for many side by
side: each has its own limits and its own lease, and what has not begun in time goes back.
"""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from time import thread_time
from typing import TYPE_CHECKING, Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import ClaimedJob, HandedBack, NotStarted, Outcome
from jobyard.jobs.ledger.fault_counters import Tally, count_alone
from jobyard.jobs.ledger.leases import Held, Lease
from jobyard.jobs.ledger.ledger import get_ledger
from jobyard.worker.execution.attempt import attempt_async, failed
from jobyard.worker.execution.event_loop import get_async_loop, give_up
from jobyard.worker.execution.interruptions import (
    STOP_GRACE_SECONDS,
    AttemptStopped,
    SoftLimitReached,
    TimeLimitExceeded,
)

if TYPE_CHECKING:
    from jobyard.tasks.task import AnyTask

log = structlog.get_logger()

# Until one that has not begun is looked at again, where its limits are to be kept from its beginning.
_SOON: Final = 0.05


class Member:
    """One attempt: `began` and how it ended are set on the loop's thread, the rest on the worker's."""

    def __init__(self, job: ClaimedJob, lease: Lease) -> None:
        self.job, self.lease = job, lease
        self.began: float | None = None
        self.value: Outcome | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.is_withdrawn = False
        self.asked: BaseException | None = None
        self.give_up_at = math.inf
        self.cancel: Callable[[], object] = lambda: None


class Crowd:
    """The attempts at some jobs of one task, which begin as soon as this is made."""

    def __init__(self, task: "AnyTask", held: Sequence[Held], patience_seconds: float) -> None:
        self._task = task
        self._members = [Member(job, lease) for job, lease in held]
        self._cut_at = monotonic() + patience_seconds
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._under_way = len(self._members)
        self._cpu, self._ended, self._busy = 0.0, 0, (0.0, 0)
        self._soft, self._hard = task.soft_limit or math.inf, task.hard_limit or math.inf
        self._loop = get_async_loop()
        for member in self._members:
            member.lease.wake = self._changed.set
        self._loop.call(self._begin_all)

    # On the loop's thread.

    def _begin_all(self) -> None:
        self._cpu, self._ended = thread_time(), self._loop.ended
        for member in self._members:
            task = self._loop.loop.create_task(self._attempt(member), name=member.job.id)
            member.cancel = task.cancel

    async def _attempt(self, member: Member) -> None:
        process = os.getpid()
        async with self._loop.room:
            if self._may_begin(member):
                try:
                    member.value = await attempt_async(self._task, member.job, lambda: member.asked)
                except BaseException as error:
                    member.error = error
        if os.getpid() != process:
            os._exit(1)  # a child that the task has forked, and that came back here
        self._has_ended(member)

    def _may_begin(self, member: Member) -> bool:
        with self._lock:
            if not member.is_withdrawn:
                member.began = monotonic()
            return not member.is_withdrawn

    def _has_ended(self, member: Member) -> None:
        self._loop.ended += member.began is not None
        self._busy = thread_time() - self._cpu, self._loop.ended - self._ended
        member.is_over = True
        self._under_way -= 1
        if not self._under_way or monotonic() >= self._cut_at:
            self._changed.set()

    # On the worker's thread.

    def outcomes(self) -> Iterator[list[Outcome]]:
        """Yield how they ended: all at once, or where that takes too long, as they end."""
        rest, ended = self._members, list[Outcome]()
        while rest:
            now = monotonic()
            looked_after = [(member, self._look_after(member, now)) for member in rest]
            ended += [outcome for _, outcome in looked_after if outcome is not None]
            rest = [member for member, outcome in looked_after if outcome is None]
            if ended and (not rest or now >= self._cut_at):
                yield ended
                ended = []
            if rest:
                self._wait(rest, self._cut_at if ended else math.inf)

    def measured(self) -> tuple[float, int]:
        """Return the seconds for which the attempts held up the loop, and how many there were.

        By its processor's time; or by the time from one beginning to the next, where they block.
        """
        begun = sorted(member.began for member in self._members if member.began is not None)
        busy, among = self._busy
        apart = (begun[-1] - begun[0]) / (len(begun) - 1) if len(begun) > 1 else 0.0
        return max(busy / max(among, 1), apart) * len(begun), len(begun)

    def _look_after(self, member: Member, now: float) -> Outcome | None:
        if member.is_over and member.began is not None:
            return self._outcome(member)
        reason = member.lease.reason_to_stop(now)
        if (began := member.began) is None:
            if reason is None and now < self._cut_at:
                return None
            return self._withdraw(member, reason)
        if now >= member.give_up_at:
            return self._given_up(member)
        if reason is not None and not isinstance(member.asked, AttemptStopped):
            member.give_up_at = now + STOP_GRACE_SECONDS
            self._interrupt(member, AttemptStopped(reason))
        elif now >= began + self._hard:
            return self._timed_out(member)
        elif now >= began + self._soft and member.asked is None:
            self._interrupt(member, SoftLimitReached(self._task.soft_limit))
        return None

    def _wait(self, rest: Sequence[Member], deadline: float) -> None:
        deadline = min(deadline, *map(self._deadline, rest))
        self._changed.wait(max(0.0, deadline - monotonic()))
        self._changed.clear()  # before anybody looks, so that what changes from here on is not missed

    def _deadline(self, member: Member) -> float:
        if member.began is None:
            has_limits = self._soft < math.inf
            return min(member.lease.fenced_at, self._cut_at, monotonic() + _SOON if has_limits else math.inf)
        if member.give_up_at < math.inf:
            return member.give_up_at
        soft = member.began + self._soft if member.asked is None else math.inf
        return min(member.lease.fenced_at, soft, member.began + self._hard)

    def _withdraw(self, member: Member, reason: str | None) -> Outcome | None:
        """Keep it from beginning, unless it does so at this very moment."""
        job = member.job
        with self._lock:
            if member.began is not None:
                return None
            member.is_withdrawn = True
        return HandedBack(job.id, job.attempt, reason) if reason else NotStarted(job.id, job.attempt)

    def _interrupt(self, member: Member, error: BaseException) -> None:
        member.asked = error
        self._loop.call(member.cancel)

    def _outcome(self, member: Member) -> Outcome:
        if member.value is not None:
            return member.value  # even if it was to stop; whether it still counts is for the ledger to say
        if isinstance(member.asked, AttemptStopped):
            return self._stopped(member)
        error = member.error or RuntimeError("the attempt ended without an outcome")
        return failed(self._task, member.job, error)

    def _given_up(self, member: Member) -> Outcome:
        self._leave_behind(member, str(member.asked))
        return self._stopped(member)

    def _timed_out(self, member: Member) -> Outcome:
        error = TimeLimitExceeded(self._soft, self._hard)
        self._interrupt(member, AttemptStopped(str(error)))
        self._leave_behind(member, str(error))
        return failed(self._task, member.job, error)

    def _stopped(self, member: Member) -> Outcome:
        job, reason = member.job, str(member.asked)
        log.warning("attempt stopped", job_id=job.id, attempt=job.attempt, reason=reason)
        return HandedBack(job.id, job.attempt, reason)

    def _leave_behind(self, member: Member, reason: str) -> None:
        if give_up(self._loop):
            count_alone(get_ledger().engine, Tally.THREAD_LEFT_BEHIND)
            job = member.job
            log.error("event loop left behind", job_id=job.id, attempt=job.attempt, reason=reason)
