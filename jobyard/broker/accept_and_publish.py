"""Accepts jobs and publishes those that may start: the order of commit, message and answer stands here alone.

    what                                order                               why that is safe
    a group of jobs                     commit; then answer and message     the keeper sends what was not
    one plain job on a quiet system     message; commit; answer             a claim needs a committed row
    a job in the caller's transaction   write; commit; database notifies    as a group
    a job that a settle releases        commit; message                     as a group

The first is `accept`, the second `send_early` and then `accept`, the third `jobs/ledger/in_transaction.py`,
the last `Publisher.publish`. `send_early` and `accept` are two, because an event loop takes the first step
and leaves the second to a thread.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from jobyard.broker.publisher import Publisher, get_publisher
from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.job import Acceptance, NewJob, QueuedJob, Verdict

if TYPE_CHECKING:
    from jobyard.broker.redis.early_sender import EarlyMessage

# From before the message is sent until the row is there. A worker looks for the row for longer than this
# (`LOOK_AGAIN_AFTER_SECONDS` of `jobyard/worker/execution/message.py`); after a slower commit the job is
# published once more.
LONGEST_COMMIT_SECONDS: Final = 0.02

Accept = Callable[[Sequence[NewJob]], list[Acceptance]]


class AcceptAndPublish:
    """Accepts jobs by whatever function commits them, and publishes them by this process's publisher."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        # While nothing can be committed, no worker should be sent for.
        self._has_committed = True

    def __call__(self, accept: Accept, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Take both steps; raises what `accept` raises."""
        return self.accept(accept, new_jobs, self.send_early(new_jobs))

    def send_early(self, new_jobs: Sequence[NewJob]) -> "EarlyMessage | None":
        """Send the message about one plain job that is about to be accepted; never waits for the broker."""
        if len(new_jobs) != 1 or not self._has_committed or not _is_surely_next(new_jobs[0]):
            return None
        message = self._publisher.send_early(_queued(new_jobs[0]))
        if message is not None:
            reach(CrashPoint.SENT_EARLY)
        return message

    def accept(
        self, accept: Accept, new_jobs: Sequence[NewJob], early: "EarlyMessage | None" = None
    ) -> list[Acceptance]:
        """Return what `accept` says about jobs, with a message sent for each that is new and may start now.

        Raises what `accept` raises. `early` is what `send_early` returned about them.
        """
        try:
            acceptances = accept(new_jobs)
        except Exception:
            self._has_committed = False
            raise
        self._has_committed = True
        if early is not None and monotonic() - early.sent_at < LONGEST_COMMIT_SECONDS:
            self._publisher.confirm_early(early)
        else:
            self._publish(new_jobs, acceptances)
        return acceptances

    def _publish(self, new_jobs: Sequence[NewJob], acceptances: Sequence[Acceptance]) -> None:
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
def get_accept_and_publish() -> AcceptAndPublish:
    """Return this process's own."""
    return AcceptAndPublish(get_publisher())


# Its publisher is another one in a child.
os.register_at_fork(after_in_child=get_accept_and_publish.cache_clear)
