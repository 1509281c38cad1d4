"""Adds up how long the jobs of each task take in a worker, and writes their means to the ledger."""

import os
import threading
from collections.abc import Mapping
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.run_times import note_run_times
from jobyard.settings.locked_cache import locked_cache

log = structlog.get_logger()

WRITE_EVERY_SECONDS: Final = 2.0
# A mean is written only if it changed by more than this share, because each write is a transaction.
CHANGE_SHARE: Final = 0.1
# All means are written this often, because other workers write theirs to the same rows.
WRITE_ALL_EVERY_SECONDS: Final = 30.0


class RunTimeRecorder:
    """Adds up the run times that many threads measure."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._measured: dict[str, tuple[float, int]] = {}
        self._known: dict[str, float] = {}
        self._write_at = self._write_all_at = 0.0

    def record(self, task: str, seconds: float, jobs: int) -> None:
        """Add the seconds that some jobs took together; from time to time the caller writes the means."""
        if not jobs:
            return
        with self._lock:
            total_seconds, total_jobs = self._measured.get(task, (0.0, 0))
            self._measured[task] = (total_seconds + seconds, total_jobs + jobs)
            if monotonic() < self._write_at:
                return
            self._write_at = monotonic() + WRITE_EVERY_SECONDS
            means = {name: total / count for name, (total, count) in self._measured.items()}
            self._measured.clear()
            changed = self._changed_means(means)
        if not changed:
            return
        try:
            written = note_run_times(self._database, changed)
        except LedgerUnavailableError as error:
            log.debug("run times not written", reason=str(error))
            return
        with self._lock:
            self._known |= written

    def _changed_means(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return the means that differ from the ledger's, and from time to time all of them."""
        if monotonic() >= self._write_all_at:
            self._write_all_at = monotonic() + WRITE_ALL_EVERY_SECONDS
            self._known.clear()
        return {task: mean for task, mean in means.items() if self._has_changed(task, mean)}

    def _has_changed(self, task: str, mean: float) -> bool:
        known = self._known.get(task)
        return known is None or abs(mean - known) > CHANGE_SHARE * known


@locked_cache
def get_run_time_recorder() -> RunTimeRecorder:
    """Return this process's recorder."""
    return RunTimeRecorder(get_ledger().database)


# A lock that another thread held at the fork would stay locked in the child.
os.register_at_fork(after_in_child=get_run_time_recorder.cache_clear)
