"""Sends Celery messages for jobs: in groups and on a thread of its own, or one by itself here and now.

Best effort by design. Whatever is not sent, or was sent and is not sure, the keeper sends again; a message
too many claims nothing. So nobody who hands in a job ever waits for the broker.
"""

import atexit
import concurrent.futures.thread  # noqa: F401 (redis-py asks for it late, which fails once the program is ending)
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from time import sleep
from typing import TypeVar

import structlog

from jobyard.broker.bundle_size import Bundling
from jobyard.broker.queue_depths import BrokerDepths
from jobyard.broker.redis.early_sender import Rung
from jobyard.broker.sender import MOST_IN_ONE_WRITE, bell_for, post_for
from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.ledger import Ledger, get_ledger
from jobyard.settings import Settings, get_settings

log = structlog.get_logger()

T = TypeVar("T")

# Most jobs are claimed before their publishing is written down, and then it need not be.
MARK_AFTER_SECONDS = 0.5
# But well before a keeper would take them for unsent.
MARK_AFTER_SHARE = 0.25
# SQLite has one writer, for which whoever accepts waits meanwhile.
MOST_IN_ONE_MARK = 200
PAUSE_AFTER_FAILURE_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 2.0
# Where much is handed in, more comes together meanwhile, in fewer messages; and others have the processor.
RESTS_LONGER = 2
LONGEST_REST_SECONDS = 0.02
MOST_WAITING = 50_000
# Since the last job was handed in. What comes more often goes together, in fewer messages.
QUIET_SECONDS = 0.004


class Publisher:
    """Publishes jobs from any thread; `publish` never blocks and never raises."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._depths = BrokerDepths(settings)
        self._bundling = Bundling(ledger.database, settings.worker.lease)
        self._post = post_for(settings)
        self._bell = bell_for(self._post, settings, not_taken=lambda job: self.publish([job]))
        self._asked_at = 0.0
        # Entered by itself: an interruption would come between Python's code of a Condition and its lock.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: list[QueuedJob] = []
        self._unmarked: list[str] = []
        self._rung: list[Rung] = []
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

    def ring(self, job: QueuedJob) -> Rung | None:
        """Send a message here and now, or return None where somebody would have to wait for that."""
        asked_at, self._asked_at = self._asked_at, monotonic()
        is_quiet = self._asked_at - asked_at > QUIET_SECONDS and not self._is_busy and not self._waiting
        if self._bell is None or not is_quiet or self._asked_at < self._silent_until:
            return None
        return self._bell.ring(job)

    def has_rung(self, rung: Rung) -> None:
        """Take a job that `ring` has sent a message about, and whose row is committed."""
        # In this order: the bell looks at the first when it has written the second.
        rung.is_committed = True
        if rung.is_taken is False:
            self.publish([rung.job])
            return
        with self._lock:
            self._mark_later()
            self._rung.append(rung)
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
                self._changed.wait_for(lambda: bool(self._waiting or self._unmarked or self._rung))
                self._changed.wait_for(lambda: bool(self._waiting), max(0.0, self._mark_at - monotonic()))
                jobs, self._waiting, self._is_busy = self._waiting, [], True
            if jobs:
                began = monotonic()
                self._send(jobs)
                if len(jobs) > 1:
                    sleep(min(RESTS_LONGER * (monotonic() - began), LONGEST_REST_SECONDS))
                if self._bell is not None and not self._is_cut_off:
                    self._bell.prepare()
            self._mark_in_time()

    def _send(self, jobs: Sequence[QueuedJob]) -> None:
        if monotonic() < self._silent_until:
            return
        reach(CrashPoint.BEFORE_PUBLISH)
        sent = 0
        try:
            for bundles in batched(self._bundling.bundles(jobs), MOST_IN_ONE_WRITE):
                self._post.send(bundles)
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

    def _mark_later(self) -> None:
        if not self._unmarked and not self._rung:
            self._mark_at = monotonic() + self._mark_after

    def _mark_in_time(self) -> None:
        if monotonic() < self._mark_at:
            return
        with self._lock:
            job_ids, self._unmarked = self._unmarked, []
            rung, self._rung = self._rung, []
        if rung and self._bell is not None:
            self._bell.listen()
            job_ids += [one.job.id for one in rung if one.is_taken]
            with self._lock:
                self._mark_later()
                self._rung += [one for one in rung if one.is_taken is None]
        self._mark(job_ids)

    def _mark(self, job_ids: Sequence[str]) -> None:
        try:
            for some in batched(job_ids, MOST_IN_ONE_MARK):
                self._ledger.mark_published(some)
        except LedgerUnavailableError as error:
            log.warning("publishing not noted", jobs=len(job_ids), reason=str(error))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
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
