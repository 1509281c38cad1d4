"""Sends Celery messages for jobs: in groups and on a thread of its own, or one by itself here and now.

Best effort by design. What is not sent, or was sent and is not sure, the keeper sends again; a message too
many claims nothing. So no caller that hands in a job ever waits for the broker.
"""

import atexit
import concurrent.futures.thread  # noqa: F401 (redis-py asks for it late, which fails once the program is ending)
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from jobyard.broker.bundle_size import Bundling
from jobyard.broker.message_sender import MOST_IN_ONE_WRITE
from jobyard.broker.queue_depths import BrokerDepths
from jobyard.broker.senders import early_sender_for, sender_for
from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.ledger import Ledger, get_ledger
from jobyard.settings import Settings, get_settings

if TYPE_CHECKING:
    from jobyard.broker.redis.early_sender import EarlyMessage

log = structlog.get_logger()

T = TypeVar("T")

# Most jobs are claimed before it is noted that they were published, and then it need not be noted.
MARK_AFTER_SECONDS: Final = 0.5
# Of `JOBYARD_KEEPER__UNSENT_AFTER`: well before a keeper would take them for unsent.
MARK_AFTER_SHARE: Final = 0.25
# SQLite has one writer, and callers that accept wait for it meanwhile: 200 are noted in about 5 ms.
MOST_IN_ONE_MARK: Final = 200
# After the broker has refused something, until it is tried again.
PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0
# A keeper's wait for what it has published.
LONGEST_WAIT_SECONDS: Final = 2.0
# Where much is handed in, a rest after each write lets more come together, in fewer messages: twice the time
# that the write took, and 20 ms at most.
REST_PER_WRITE: Final = 2
LONGEST_REST_SECONDS: Final = 0.02
# Jobs in memory that wait for the broker, before the rest is left to the keeper: 10 MB.
MOST_WAITING: Final = 50_000
# Since the last job was handed in. Jobs that come more often go together, in fewer messages.
QUIET_SECONDS: Final = 0.004


class Publisher:
    """Publishes jobs from any thread; `publish` never blocks and never raises."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._depths = BrokerDepths(settings)
        self._bundling = Bundling(ledger.database, settings.worker.lease)
        self._sender = sender_for(settings)
        self._early = early_sender_for(settings, not_taken=lambda job: self.publish([job]))
        self._asked_at = 0.0
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
        self._silent_until = 0.0
        self._is_cut_off = False
        self._thread: threading.Thread | None = None

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        """Take jobs whose rows are committed, to be sent at once."""
        with self._lock:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.extend(jobs)
            self._start_thread()
            self._changed.notify_all()

    def send_early(self, job: QueuedJob) -> "EarlyMessage | None":
        """Send a message about a job here and now, or return None where that would have to wait."""
        asked_at, self._asked_at = self._asked_at, monotonic()
        is_quiet = self._asked_at - asked_at > QUIET_SECONDS and not self._is_busy and not self._waiting
        if self._early is None or not is_quiet or self._asked_at < self._silent_until:
            return None
        return self._early.send(job)

    def confirm_early(self, message: "EarlyMessage") -> None:
        """Take a job that `send_early` has sent a message about, and whose row is committed."""
        assert self._early is not None
        with self._lock:
            self._mark_later()
        self._early.confirm(message)
        with self._lock:
            self._start_thread()
            self._changed.notify_all()

    def _start_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
            self._thread.start()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything that was taken has been sent or given up; tell whether it was in time."""
        with self._lock:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_busy, timeout_seconds)

    def has_sent(self) -> bool:
        """Wait until what was taken is out; tell whether the broker took it, as far as can be seen."""
        return self.flush(LONGEST_WAIT_SECONDS) and monotonic() >= self._silent_until

    def has_failed(self) -> bool:
        """Tell whether the broker did not take what was sent last."""
        return self._is_cut_off

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many messages of each queue wait in the broker; of none where it does not say."""
        return self._depths.of(queues)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._waiting) or self._has_unmarked())
                self._changed.wait_for(lambda: bool(self._waiting), max(0.0, self._mark_at - monotonic()))
                jobs, self._waiting, self._is_busy = self._waiting, [], True
            if jobs:
                began = monotonic()
                self._send(jobs)
                if len(jobs) > 1:
                    sleep(min(REST_PER_WRITE * (monotonic() - began), LONGEST_REST_SECONDS))
                if self._early is not None and not self._is_cut_off:
                    self._early.prepare()
            self._mark_in_time()

    def _send(self, jobs: Sequence[QueuedJob]) -> None:
        if monotonic() < self._silent_until:
            return
        reach(CrashPoint.BEFORE_PUBLISH)
        sent = 0
        try:
            for bundles in batched(self._bundling.bundles(jobs), MOST_IN_ONE_WRITE):
                self._sender.send(bundles)
                self._is_cut_off = False
                reach(CrashPoint.PUBLISHED)
                ids = [job.id for bundle in bundles for job in bundle]
                sent += len(ids)
                with self._lock:
                    self._mark_later()
                    self._unmarked += ids
                self._mark_in_time()
        except Exception as error:  # whatever it was, the keeper sends these jobs again
            self._silent_until = monotonic() + PAUSE_AFTER_FAILURE_SECONDS
            self._is_cut_off = True
            log.warning("not published, the keeper will", jobs=len(jobs) - sent, reason=repr(error))

    def _has_unmarked(self) -> bool:
        return bool(self._unmarked) or (self._early is not None and self._early.has_confirmed)

    def _mark_later(self) -> None:
        if not self._has_unmarked():
            self._mark_at = monotonic() + self._mark_after

    def _mark_in_time(self) -> None:
        if monotonic() < self._mark_at:
            return
        with self._lock:
            job_ids, self._unmarked = self._unmarked, []
        if self._early is not None:
            job_ids += self._early.published()
            with self._lock:
                # What Redis has not answered yet is looked at again.
                self._mark_at = monotonic() + self._mark_after
        self._mark(job_ids)

    def _mark(self, job_ids: Sequence[str]) -> None:
        try:
            for some in batched(job_ids, MOST_IN_ONE_MARK):
                self._ledger.mark_published(some)
        except LedgerUnavailableError as error:
            log.warning("publishing not noted", jobs=len(job_ids), reason=str(error))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of this size; the last may be shorter."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


@cache
def get_publisher() -> Publisher:
    """Return this process's publisher; what it holds is sent before the process ends."""
    settings = get_settings()
    publisher = Publisher(get_ledger(), settings)
    atexit.register(publisher.flush, settings.broker.timeout.total_seconds())
    return publisher


# The thread does not cross a fork.
os.register_at_fork(after_in_child=get_publisher.cache_clear)
