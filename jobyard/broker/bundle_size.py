"""Decides how many jobs one message carries.

A bundle holds about a tenth of a second of work, up to half a second where many jobs wait, and never more
than a worker's fair share. An installation with little to do sends each job in a message of its own, at once.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import ceil
from typing import Final

import structlog

from jobyard.broker.kill_limit import kill_after
from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.reading.living_workers import slots_by_queue
from jobyard.jobs.reading.run_times import known_run_times

log = structlog.get_logger()

# The usual work in one message.
SECONDS_OF_WORK: Final = 0.1
# The most work in one message. A message and its two commits cost about 5 ms of CPU, which is a tenth of the
# cost of a job that computes for 50 ms.
MOST_SECONDS_OF_WORK: Final = 0.5
# A bundle is at most this part of each worker's share of the remaining work, so bundles shrink towards the
# end and all workers finish together.
SHARE_OF_REMAINING_WORK: Final = 0.25
# The most jobs in one message. A message and its commits cost as much as a hundred jobs that do nothing: with
# 50 jobs in a message, half as many ran. Bundles of a task without measured run times have this size too: a
# worker hands back jobs that turn out to be long.
MOST_JOBS: Final = 200
# How often run times and slots are read from the ledger.
REFRESH_EVERY_SECONDS: Final = 2.0


class Bundler:
    """Splits lists of jobs into bundles by the run times that workers have measured; for one thread."""

    def __init__(self, database: LedgerDatabase, live_for: timedelta) -> None:
        self._database, self._live_for = database, live_for
        self._run_times: dict[str, float] = {}
        self._slots: dict[str, int] = {}
        self._refresh_at = 0.0

    def split(self, jobs: Sequence[QueuedJob]) -> Iterator[list[QueuedJob]]:
        """Yield bundles of one task, queue, priority and time limit each.

        A job that lost a worker has its own bundle.
        """
        if len(jobs) == 1:
            yield list(jobs)
            return
        self._refresh()
        groups: dict[tuple[str, str, int, int | None], list[QueuedJob]] = defaultdict(list)
        for job in jobs:
            if job.lost:
                yield [job]
            else:
                groups[job.task, job.queue, job.priority, kill_after(job.time_limit)].append(job)
        for (task, queue, *_), group in groups.items():
            slots = self._slots.get(queue, 1)
            most, start = min(MOST_JOBS, ceil(len(group) / slots)), 0
            while start < len(group):
                size = max(1, min(most, self._size_by_time(task, (len(group) - start) / slots)))
                yield group[start : start + size]
                start += size

    def _size_by_time(self, task: str, jobs_per_slot: float) -> int:
        seconds_per_job = self._run_times.get(task)
        if seconds_per_job is None:
            return MOST_JOBS
        share = jobs_per_slot * seconds_per_job * SHARE_OF_REMAINING_WORK
        return round(min(max(SECONDS_OF_WORK, share), MOST_SECONDS_OF_WORK) / max(seconds_per_job, 1e-6))

    def _refresh(self) -> None:
        if monotonic() < self._refresh_at:
            return
        self._refresh_at = monotonic() + REFRESH_EVERY_SECONDS
        try:
            self._run_times = known_run_times(self._database)
            self._slots = slots_by_queue(self._database, self._live_for)
        except LedgerUnavailableError as error:
            log.debug("bundles by what was known before", reason=str(error))
