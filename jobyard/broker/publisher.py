"""Sends Celery messages for jobs: groups on a thread of its own, or a single one in the caller's thread.

Publishing is best effort by design. The keeper sends again what was not sent, or not surely; a message too
many claims nothing. So no caller that submits a job ever waits for the broker.
"""

import atexit
import concurrent.futures.thread  # noqa: F401 (redis-py imports it late, which fails while the program ends)
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from jobyard.broker.bundle_size import Bundler
from jobyard.broker.inline_runner import inline_runner
from jobyard.broker.message_sender import MOST_IN_ONE_WRITE
from jobyard.broker.queue_depths import BrokerDepths
from jobyard.broker.senders import early_sender_for, sender_for
from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, crash_here_if_asked
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.ledger import Ledger, get_ledger
from jobyard.settings import Settings, get_settings
from jobyard.settings.locked_cache import locked_cache

if TYPE_CHECKING:
    from jobyard.broker.redis.early_sender import EarlyMessage

log = structlog.get_logger()

T = TypeVar("T")

# The time from publishing a job to marking it as published. Most jobs are claimed within it, and a claimed
# job needs no mark.
MARK_AFTER_SECONDS: Final = 0.5
# The same time as a part of `JOBYARD_KEEPER__UNSENT_AFTER`: jobs are marked well before a keeper takes them
# for unsent.
MARK_AFTER_SHARE: Final = 0.25
# The most jobs that are marked in one transaction. SQLite has one writer, so callers that accept jobs wait
# for a mark: 200 jobs are marked in about 5 ms.
MOST_IN_ONE_MARK: Final = 200
# How long nothing is sent after a failure.
PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0
# The longest that a keeper waits until its jobs are sent.
LONGEST_WAIT_SECONDS: Final = 2.0
# Where many jobs are submitted, a rest after each write collects more of them into fewer messages: twice the
# time that the write took, and 20 ms at most.
REST_PER_WRITE: Final = 2
LONGEST_REST_SECONDS: Final = 0.02
# The most jobs that wait in memory for the broker (10 MB); the keeper publishes the rest.
MOST_WAITING: Final = 50_000
# A job is sent early if the last one was submitted at least this long ago. Jobs that come more often share
# messages.
QUIET_SECONDS: Final = 0.004


class Publisher:
    """Publishes jobs from any thread; `publish` never blocks and never raises."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._depths = BrokerDepths(settings)
        self._bundler = Bundler(ledger.database, settings.worker.lease)
        self._sender = sender_for(settings)
        self._early = early_sender_for(settings, on_lost=lambda job: self.publish([job]))
        self._last_job_at = 0.0
        # Locked directly: Condition's own `__enter__` is Python code, and an interruption inside it would
        # leave the lock held.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: list[QueuedJob] = []
        self._unmarked: list[str] = []
        self._mark_at = 0.0
        self._mark_after = min(
            MARK_AFTER_SECONDS, MARK_AFTER_SHARE * settings.keeper.unsent_after.total_seconds()
        )
        self._is_busy = False
        self._paused_until = 0.0
        self._is_failing = False
        self._thread: threading.Thread | None = None

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        """Hand committed jobs to the publisher's thread, which sends them at once."""
        with self._lock:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.extend(jobs)
            self._start_thread()
            self._changed.notify_all()

    def send_early(self, job: QueuedJob) -> "EarlyMessage | None":
        """Send a message about a job in this thread, or return None where that would have to wait."""
        last_job_at, self._last_job_at = self._last_job_at, monotonic()
        is_quiet = self._last_job_at - last_job_at > QUIET_SECONDS and not self._is_busy and not self._waiting
        if self._early is None or not is_quiet or self._last_job_at < self._paused_until:
            return None
        return self._early.send(job)

    def confirm_early(self, message: "EarlyMessage") -> None:
        """Take over the job of an early message after its row was committed."""
        assert self._early is not None
        with self._lock:
            self._schedule_mark()
        self._early.confirm(message)
        with self._lock:
            self._start_thread()
            self._changed.notify_all()

    def _start_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
            self._thread.start()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all jobs handed over were sent or given up; return whether that was in time."""
        with self._lock:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_busy, timeout_seconds)

    def wait_until_sent(self) -> bool:
        """Wait until all jobs handed over were sent; return whether the broker took them, as far as known."""
        return self.flush(LONGEST_WAIT_SECONDS) and monotonic() >= self._paused_until

    def is_failing(self) -> bool:
        """Tell whether the last send failed."""
        return self._is_failing

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many messages of each queue wait in the broker; empty where it does not answer."""
        return self._depths.read(queues)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._waiting) or self._has_unmarked())
                self._changed.wait_for(lambda: bool(self._waiting), max(0.0, self._mark_at - monotonic()))
                jobs, self._waiting, self._is_busy = self._waiting, [], True
            if jobs:
                started_at = monotonic()
                self._send(jobs)
                if len(jobs) > 1:
                    sleep(min(REST_PER_WRITE * (monotonic() - started_at), LONGEST_REST_SECONDS))
                if self._early is not None and not self._is_failing:
                    self._early.prepare()
            self._mark_if_due()

    def _send(self, jobs: Sequence[QueuedJob]) -> None:
        if monotonic() < self._paused_until:
            return
        crash_here_if_asked(CrashPoint.BEFORE_PUBLISH)
        sent = 0
        try:
            for bundles in batched(self._bundler.split(jobs), MOST_IN_ONE_WRITE):
                self._sender.send(bundles)
                self._is_failing = False
                crash_here_if_asked(CrashPoint.PUBLISHED)
                ids = [job.id for bundle in bundles for job in bundle]
                sent += len(ids)
                with self._lock:
                    self._schedule_mark()
                    self._unmarked += ids
                self._mark_if_due()
        except Exception as error:  # whatever the error was, the keeper sends these jobs again
            log_event = log.debug if self._is_failing else log.warning  # said once, until a write succeeds
            self._paused_until = monotonic() + PAUSE_AFTER_FAILURE_SECONDS
            self._is_failing = True
            log_event("not published, the keeper will", jobs=len(jobs) - sent, reason=repr(error))

    def _has_unmarked(self) -> bool:
        return bool(self._unmarked) or (self._early is not None and self._early.has_confirmed)

    def _schedule_mark(self) -> None:
        if not self._has_unmarked():
            self._mark_at = monotonic() + self._mark_after

    def _mark_if_due(self) -> None:
        if monotonic() < self._mark_at:
            return
        with self._lock:
            job_ids, self._unmarked = self._unmarked, []
        if self._early is not None:
            job_ids += self._early.published()
            with self._lock:
                # Messages that Redis has not answered yet are checked again then.
                self._mark_at = monotonic() + self._mark_after
        self._mark(job_ids)

    def _mark(self, job_ids: Sequence[str]) -> None:
        try:
            for batch in batched(job_ids, MOST_IN_ONE_MARK):
                self._ledger.mark_published(batch)
        except LedgerUnavailableError as error:
            log.warning("publishing not noted", jobs=len(job_ids), reason=str(error))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of this size; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@locked_cache
def get_publisher() -> Publisher:
    """Return this process's publisher; jobs that it still holds are sent before the process ends."""
    settings = get_settings()
    if settings.tasks.eager:
        inline: Publisher = inline_runner().InlinePublisher(get_ledger())
        return inline
    publisher = Publisher(get_ledger(), settings)
    atexit.register(publisher.flush, settings.broker.timeout.total_seconds())
    return publisher


# The publisher's thread does not exist in a forked child.
os.register_at_fork(after_in_child=get_publisher.cache_clear)
