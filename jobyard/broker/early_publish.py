"""Accepts jobs and rings for them: for one by itself while its row is being committed.

So a worker is on its way meanwhile, which takes as long as the commit. It claims what is committed and
nothing else; one that comes too early looks again for a moment (`jobyard/worker/execution/message.py`), and
one for whose message no row ever comes claims nothing, as after any message too many (docs/decisions/0021).
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from jobyard.broker.publisher import Publisher, get_publisher
from jobyard.broker.redis.early_sender import Rung
from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.job import Acceptance, NewJob, QueuedJob, Verdict

# From before the message is sent to when the row is there. A worker looks for longer than this.
LONGEST_COMMIT_SECONDS: Final = 0.02

Accept = Callable[[Sequence[NewJob]], list[Acceptance]]


class Doorbell:
    """Rings for what it accepts, by its process's publisher."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        # Where nothing can be committed, nobody should come.
        self._is_trusting = True

    def ring_ahead(self, new_jobs: Sequence[NewJob]) -> Rung | None:
        """Ring for one job by itself that is about to be accepted; waits for nobody."""
        if len(new_jobs) != 1 or not self._is_trusting or not _is_surely_next(new_jobs[0]):
            return None
        rung = self._publisher.ring(_queued(new_jobs[0]))
        if rung is not None:
            reach(CrashPoint.RUNG_AHEAD)
        return rung

    def accept(
        self, accept: Accept, new_jobs: Sequence[NewJob], ahead: Rung | None = None
    ) -> list[Acceptance]:
        """Return what `accept` says about jobs, with a message sent for each that is new and may start now.

        Raises what `accept` raises. `ahead` is what `ring_ahead` returned about them.
        """
        try:
            acceptances = accept(new_jobs)
        except Exception:
            self._is_trusting = False
            raise
        self._is_trusting = True
        if ahead is not None and monotonic() - ahead.sent_at < LONGEST_COMMIT_SECONDS:
            self._publisher.has_rung(ahead)
        else:
            self.ring_for(new_jobs, acceptances)
        return acceptances

    def ring_for(self, new_jobs: Sequence[NewJob], acceptances: Sequence[Acceptance]) -> None:
        """Ring for those of the committed jobs that are new and may start now."""
        due = [
            _queued(new)
            for new, acceptance in zip(new_jobs, acceptances, strict=True)
            if acceptance.verdict is Verdict.NEW and new.is_due
        ]
        if due:
            self._publisher.publish(due)


def _is_surely_next(new: NewJob) -> bool:
    # With a key it may be another's job that is meant, and tags take a second statement.
    return new.is_due and not (new.idempotency_key or new.unique_key or new.tags or new.bulk)


def _queued(new: NewJob) -> QueuedJob:
    return QueuedJob(new.id, new.task, new.queue, new.priority)


@cache
def get_doorbell() -> Doorbell:
    """Return this process's doorbell."""
    return Doorbell(get_publisher())


# Its publisher is another one in a child.
os.register_at_fork(after_in_child=get_doorbell.cache_clear)
