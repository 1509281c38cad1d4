"""Measures in a worker how long the jobs of each task take, and tells the ledger now and then."""

import os
import threading
from collections.abc import Mapping
from functools import cache
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.run_times import note_paces

log = structlog.get_logger()

TELL_EVERY_SECONDS: Final = 2.0
# What is told is a transaction, and a task that takes as long as ever is no news.
NEWS_SHARE: Final = 0.1
TELL_ALL_EVERY_SECONDS: Final = 30.0


class Stopwatch:
    """Adds up the times of many threads."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._measured: dict[str, tuple[float, int]] = {}
        self._known: dict[str, float] = {}
        self._tell_at = self._tell_all_at = 0.0

    def note(self, task: str, seconds: float, jobs: int) -> None:
        """Add jobs that took so long together; the caller that comes when it is time tells the ledger."""
        if not jobs:
            return
        with self._lock:
            in_all, number = self._measured.get(task, (0.0, 0))
            self._measured[task] = (in_all + seconds, number + jobs)
            if monotonic() < self._tell_at:
                return
            self._tell_at = monotonic() + TELL_EVERY_SECONDS
            means = {name: total / count for name, (total, count) in self._measured.items()}
            self._measured.clear()
            news = self._news(means)
        if not news:
            return
        try:
            noted = note_paces(self._database, news)
        except LedgerUnavailableError as error:
            log.debug("paces not noted", reason=str(error))
            return
        with self._lock:
            self._known |= noted

    def _news(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return what the ledger may not know: it hears from other workers, too, and of them now and then."""
        if monotonic() >= self._tell_all_at:
            self._tell_all_at = monotonic() + TELL_ALL_EVERY_SECONDS
            self._known.clear()
        return {task: mean for task, mean in means.items() if self._is_news(task, mean)}

    def _is_news(self, task: str, mean: float) -> bool:
        known = self._known.get(task)
        return known is None or abs(mean - known) > NEWS_SHARE * known


@cache
def get_stopwatch() -> Stopwatch:
    """Return this process's stopwatch."""
    return Stopwatch(get_ledger().database)


# A lock that another thread held at the fork would stay locked in the child.
os.register_at_fork(after_in_child=get_stopwatch.cache_clear)
