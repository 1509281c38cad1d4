"""How many jobs one message carries: so many that they are a tenth of a second of work, and no more than a
worker's fair share of what is to be sent. A quiet yard sends every job by itself, at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import ceil
from typing import Final

import structlog
from sqlalchemy import Engine

from jobs.clock import monotonic
from jobs.errors import LedgerUnavailableError
from jobs.job import QueuedJob
from jobs.paces import known_paces
from jobs.workers import slots_by_queue

log = structlog.get_logger()

SECONDS_OF_WORK: Final = 0.1
MOST_JOBS: Final = 100
# Of a task that nobody has measured yet. Should its jobs be long, their worker hands the rest back.
JOBS_AT_FIRST: Final = 50
LOOK_EVERY_SECONDS: Final = 2.0


class Bundling:
    """Cuts lists of jobs into bundles by what workers have measured; for one thread."""

    def __init__(self, engine: Engine, live_for: timedelta) -> None:
        self._engine, self._live_for = engine, live_for
        self._paces: dict[str, float] = {}
        self._slots: dict[str, int] = {}
        self._look_at = 0.0

    def bundles(self, jobs: Sequence[QueuedJob]) -> Iterator[list[QueuedJob]]:
        """Yield the jobs in bundles, each of one task, queue and priority; what lost a worker goes alone."""
        if len(jobs) == 1:
            yield list(jobs)
            return
        self._look()
        alike: dict[tuple[str, str, int], list[QueuedJob]] = defaultdict(list)
        for job in jobs:
            if job.lost:
                yield [job]
            else:
                alike[job.task, job.queue, job.priority].append(job)
        for (task, queue, _), some in alike.items():
            size = self._size(task, queue, len(some))
            for start in range(0, len(some), size):
                yield some[start : start + size]

    def _size(self, task: str, queue: str, waiting: int) -> int:
        pace = self._paces.get(task)
        by_time = JOBS_AT_FIRST if pace is None else int(SECONDS_OF_WORK / max(pace, 1e-6))
        fair_share = ceil(waiting / self._slots.get(queue, 1))
        return max(1, min(by_time, fair_share, MOST_JOBS))

    def _look(self) -> None:
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + LOOK_EVERY_SECONDS
        try:
            self._paces = known_paces(self._engine)
            self._slots = slots_by_queue(self._engine, self._live_for)
        except LedgerUnavailableError as error:
            log.debug("bundles by what was known before", reason=str(error))
