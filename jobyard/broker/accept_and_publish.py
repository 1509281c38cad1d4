"""Accepts jobs and publishes those that may start; only this module orders commit, message and answer.

    what                                order                               why that is safe
    a group of jobs                     commit; then answer and message     the keeper sends a missing message
    one plain job on a quiet system     message; commit; answer             a claim needs a committed row
    a job in the caller's transaction   write; commit; database notifies    as a group
    a job that a settle releases        commit; message                     as a group

`accept` takes the first way, `send_early` and then `accept` the second, `jobs/ledger/in_transaction.py` the
third, and `Publisher.publish` the last. `send_early` and `accept` are separate methods, because an event loop
calls the first itself and leaves the second to a thread.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from jobyard.broker.inline_runner import inline_runner
from jobyard.broker.publisher import Publisher, get_publisher
from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, crash_here_if_asked
from jobyard.jobs.job import Acceptance, NewJob, QueuedJob, Verdict
from jobyard.jobs.ledger.accept_for_certain import Accept, accept_for_certain
from jobyard.settings import get_settings
from jobyard.settings.locked_cache import locked_cache

if TYPE_CHECKING:
    from jobyard.broker.redis.early_sender import EarlyMessage

# The longest time from before the message is sent until the row is committed. A worker looks for the row for
# longer than this (`LOOK_AGAIN_AFTER_SECONDS` of `jobyard/worker/execution/message.py`); after a slower
# commit the job is published once more.
LONGEST_COMMIT_SECONDS: Final = 0.02


class AcceptAndPublish:
    """Accepts jobs with the function that commits them, and publishes them with the given publisher."""

    def __init__(self, publisher: Publisher, patience_seconds: float) -> None:
        # The patience is for a ledger that does not say whether it has committed.
        self._publisher, self._patience_seconds = publisher, patience_seconds
        # While commits fail, early messages are not sent: a worker would find no row.
        self._has_committed = True

    def __call__(self, accept: Accept, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Take both steps, `send_early` and `accept`; raises what the latter raises."""
        return self.accept(accept, new_jobs, self.send_early(new_jobs))

    def send_early(self, new_jobs: Sequence[NewJob]) -> "EarlyMessage | None":
        """Send the message about one plain job that is about to be accepted; never waits for the broker."""
        if len(new_jobs) != 1 or not self._has_committed or not _may_be_sent_early(new_jobs[0]):
            return None
        message = self._publisher.send_early(_queued_job(new_jobs[0]))
        if message is not None:
            crash_here_if_asked(CrashPoint.SENT_EARLY)
        return message

    def accept(
        self,
        accept: Accept,
        new_jobs: Sequence[NewJob],
        early_message: "EarlyMessage | None" = None,
        answer: Callable[[list[Acceptance]], None] | None = None,
        doubt: str | None = None,
    ) -> list[Acceptance]:
        """Accept jobs, send a message for each that is new and may start now, and return the acceptances.

        `early_message` is what `send_early` returned for these jobs. `answer` is called before the messages,
        by a process whose caller waits for it. Raises what `accept_for_certain` raises, which `doubt` is for.
        """
        try:
            acceptances = accept_for_certain(accept, new_jobs, self._patience_seconds, doubt)
        except Exception:
            self._has_committed = False
            raise
        self._has_committed = True
        if answer is not None:
            answer(acceptances)
        if early_message is not None and monotonic() - early_message.sent_at < LONGEST_COMMIT_SECONDS:
            self._publisher.confirm_early(early_message)
        else:
            self._publish(new_jobs, acceptances)
        return acceptances

    def _publish(self, new_jobs: Sequence[NewJob], acceptances: Sequence[Acceptance]) -> None:
        due = [
            _queued_job(new_job)
            for new_job, acceptance in zip(new_jobs, acceptances, strict=True)
            if acceptance.verdict is Verdict.NEW and self.starts_now(new_job)
        ]
        if due:
            self._publisher.publish(due)

    def starts_now(self, new_job: NewJob) -> bool:
        """Tell whether to publish a job at once, and not leave it to the keeper."""
        return new_job.is_due


def _may_be_sent_early(new_job: NewJob) -> bool:
    # A job with a key may turn out to be one that exists already, and tags take a second statement.
    has_key = bool(new_job.idempotency_key or new_job.unique_key)
    return new_job.is_due and not (has_key or new_job.tags or new_job.bulk or new_job.has_call_fields)


def _queued_job(new_job: NewJob) -> QueuedJob:
    own = (new_job.id, new_job.task, new_job.queue, new_job.priority)
    return QueuedJob(*own, time_limit=new_job.time_limit)


@locked_cache
def get_accept_and_publish() -> AcceptAndPublish:
    """Return this process's `AcceptAndPublish`."""
    settings = get_settings()
    accepting = inline_runner().AcceptAndRun if settings.tasks.eager else AcceptAndPublish
    return accepting(get_publisher(), settings.ledger.timeout.total_seconds())


# A forked child has a publisher of its own.
os.register_at_fork(after_in_child=get_accept_and_publish.cache_clear)
