"""How many jobs one message carries: about a tenth of a second of work, half a second where much waits, and
no more than a worker's fair share. A quiet yard sends every job by itself, at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import ceil
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.reading.run_times import known_paces
from jobyard.jobs.reading.workers import slots_by_queue

log = structlog.get_logger()

SECONDS_OF_WORK: Final = 0.1
# A message and its two commits cost about 5 ms of CPU, which is a tenth of a job that computes for 50 ms.
MOST_SECONDS: Final = 0.5
# Of the time in which all workers together do what is still to be sent. So the last messages are small, and
# no worker has a long one in hand when the others are done.
SHARE_OF_THE_REST: Final = 0.25
# A message and its commits cost as much as a hundred jobs that do nothing: with 50 in one, half as many ran.
# So many go together of a task that nobody has measured, too: long ones are handed back by their worker.
MOST_JOBS: Final = 200
LOOK_EVERY_SECONDS: Final = 2.0


class Bundling:
    """Cuts lists of jobs into bundles by what workers have measured; for one thread."""

    def __init__(self, database: LedgerDatabase, live_for: timedelta) -> None:
        self._database, self._live_for = database, live_for
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
            slots = self._slots.get(queue, 1)
            most, start = min(MOST_JOBS, ceil(len(some) / slots)), 0
            while start < len(some):
                size = max(1, min(most, self._by_time(task, (len(some) - start) / slots)))
                yield some[start : start + size]
                start += size

    def _by_time(self, task: str, jobs_of_a_slot: float) -> int:
        pace = self._paces.get(task)
        if pace is None:
            return MOST_JOBS
        share = jobs_of_a_slot * pace * SHARE_OF_THE_REST
        return round(min(max(SECONDS_OF_WORK, share), MOST_SECONDS) / max(pace, 1e-6))

    def _look(self) -> None:
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + LOOK_EVERY_SECONDS
        try:
            self._paces = known_paces(self._database)
            self._slots = slots_by_queue(self._database, self._live_for)
        except LedgerUnavailableError as error:
            log.debug("bundles by what was known before", reason=str(error))
