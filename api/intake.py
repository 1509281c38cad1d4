"""The group commit of the API: requests that arrive while one commit runs go into the next one together.

Nobody waits for a timer: on a quiet API a group is one request, and is committed at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

from jobs.errors import LedgerUnavailableError
from jobs.job import Acceptance, NewJob

MOST_IN_GROUP = 500
MOST_WAITING = 20_000


class _Asked(NamedTuple):
    jobs: Sequence[NewJob]
    answer: "asyncio.Future[list[Acceptance]]"


class Intake:
    """Accepts jobs for many requests at once; the answers are in the order of the jobs."""

    def __init__(self, commit: Callable[[Sequence[NewJob]], list[Acceptance]]) -> None:
        self._commit_jobs = commit
        self._waiting: deque[_Asked] = deque()
        self._jobs_waiting = 0
        self._committing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake")

    async def accept(self, jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError`, and then none of them is."""
        if self._jobs_waiting >= MOST_WAITING:
            raise LedgerUnavailableError(f"{MOST_WAITING} jobs wait for the ledger already: come back later")
        asked = _Asked(jobs, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._jobs_waiting += len(jobs)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await asked.answer

    async def close(self) -> None:
        """Finish what was begun."""
        if self._committing is not None:
            await self._committing
        self._thread.shutdown()

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._next_group())
        finally:
            self._committing = None

    def _next_group(self) -> list[_Asked]:
        group: list[_Asked] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0].jobs) <= MOST_IN_GROUP):
            group.append(self._waiting.popleft())
            size += len(group[-1].jobs)
        self._jobs_waiting -= size
        return group

    async def _commit(self, group: Sequence[_Asked]) -> None:
        new_jobs = [job for asked in group for job in asked.jobs]
        loop = asyncio.get_running_loop()
        try:
            acceptances = await loop.run_in_executor(self._thread, self._commit_jobs, new_jobs)
        except LedgerUnavailableError as error:
            _refuse(group, error)
        except Exception as error:
            # One row that the database will not take must not cost the others their place.
            if len(group) == 1:
                _refuse(group, error)
            else:
                for asked in group:
                    await self._commit([asked])
        else:
            answers = iter(acceptances)
            for asked in group:
                its_own = list(islice(answers, len(asked.jobs)))
                if not asked.answer.done():  # the client may have gone; its jobs stay accepted
                    asked.answer.set_result(its_own)


def _refuse(group: Sequence[_Asked], error: Exception) -> None:
    for asked in group:
        if not asked.answer.done():
            asked.answer.set_exception(error)
