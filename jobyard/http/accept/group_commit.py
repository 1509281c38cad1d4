"""The group commit of the API: requests that arrive while one commit runs go into the next one together.

Nobody waits for a timer: on a quiet API a group is one request, and is committed at once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob

MOST_IN_GROUP = 500
MOST_WAITING = 20_000
# As many as make a second group worth its transaction while the first is under way; measured with 64 callers.
SECOND_GROUP = 24


class _Asked(NamedTuple):
    jobs: Sequence[NewJob]
    answer: "asyncio.Future[list[Acceptance]]"


class Committing(Protocol):
    """What the intake needs of a committer."""

    @property
    def at_once(self) -> int:
        """How many groups may be under way."""

    async def commit(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError`, and then none of them is."""


class Intake:
    """Accepts jobs for many requests at once; the answers are in the order of the jobs."""

    def __init__(self, committer: Committing) -> None:
        self._committer = committer
        self._waiting: deque[_Asked] = deque()
        self._jobs_waiting = 0
        self._under_way: set[asyncio.Task[None]] = set()

    async def accept(self, jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError`, and then none of them is."""
        return await self.ask(jobs)

    def ask(self, jobs: Sequence[NewJob]) -> "asyncio.Future[list[Acceptance]]":
        """As `accept`, for whoever does not wait: the errors are the future's."""
        asked = _Asked(jobs, asyncio.get_running_loop().create_future())
        if self._jobs_waiting >= MOST_WAITING:
            words = f"{MOST_WAITING} jobs wait for the ledger already: come back later"
            _refuse([asked], LedgerUnavailableError(words))
        else:
            self._waiting.append(asked)
            self._jobs_waiting += len(jobs)
            self._go_on()
        return asked.answer

    async def close(self) -> None:
        """Finish what was begun."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _go_on(self) -> None:
        if not self._waiting:
            return
        most = self._committer.at_once if self._jobs_waiting >= SECOND_GROUP else 1
        if len(self._under_way) < most:
            task = asyncio.create_task(self._commit_next())
            self._under_way.add(task)
            task.add_done_callback(self._has_ended)

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._go_on()

    async def _commit_next(self) -> None:
        # Formed only now, so that whoever came in the same round of the loop is in it.
        if group := self._next_group():
            await self._commit(group)

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
        try:
            acceptances = await self._committer.commit(new_jobs)
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
