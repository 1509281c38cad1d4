"""The group commit of an API process: requests that arrive during one commit go into the next together.

No request waits for a timer: on a quiet API a group is one request and is committed at once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

from jobyard.jobs.errors import LedgerUnavailableError, OutcomeUnknownError
from jobyard.jobs.job import Acceptance, NewJob

# Most jobs in one transaction: longer transactions delay the workers that write to the same SQLite file.
MOST_IN_GROUP: Final = 500
# Most jobs that wait in memory for their commit; then requests are refused. About 40 MB of 2 KB payloads.
MOST_WAITING: Final = 20_000
# Jobs that are worth a second transaction while another is under way (measured with 64 callers).
SECOND_GROUP: Final = 24


class _Request(NamedTuple):
    jobs: Sequence[NewJob]
    answer: "asyncio.Future[list[Acceptance]]"


class GroupCommitter(Protocol):
    """Commits one group of jobs."""

    @property
    def groups_at_once(self) -> int:
        """How many groups to give it at once."""

    async def commit(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError`, and then none of them is.

        Raises `OutcomeUnknownError` where that is not known.
        """


class AsyncGroupCommit:
    """Accepts jobs for many requests at once; the answers are in the order of the jobs."""

    def __init__(self, committer: GroupCommitter) -> None:
        self._committer = committer
        self._waiting: deque[_Request] = deque()
        self._jobs_waiting = 0
        self._under_way: set[asyncio.Task[None]] = set()

    async def accept(self, jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable.

        Raises `LedgerUnavailableError` where none could be written, and `OutcomeUnknownError` with their ids
        where that is not known.
        """
        return await self.start_accept(jobs)

    def start_accept(self, jobs: Sequence[NewJob]) -> "asyncio.Future[list[Acceptance]]":
        """Like `accept`, for a caller that does not wait: the future gets the answer or the error."""
        request = _Request(jobs, asyncio.get_running_loop().create_future())
        if self._jobs_waiting >= MOST_WAITING:
            message = f"{MOST_WAITING} jobs wait for the ledger already: try again later"
            _refuse([request], LedgerUnavailableError(message))
        else:
            self._waiting.append(request)
            self._jobs_waiting += len(jobs)
            self._commit_waiting()
        return request.answer

    async def close(self) -> None:
        """Commit the jobs that wait."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _commit_waiting(self) -> None:
        if not self._waiting:
            return
        most = self._committer.groups_at_once if self._jobs_waiting >= SECOND_GROUP else 1
        if len(self._under_way) < most:
            task = asyncio.create_task(self._commit_next())
            self._under_way.add(task)
            task.add_done_callback(self._on_committed)

    def _on_committed(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._commit_waiting()

    async def _commit_next(self) -> None:
        # The group is formed only now, so it holds every request of this event loop iteration.
        if group := self._next_group():
            await self._commit(group)

    def _next_group(self) -> list[_Request]:
        group: list[_Request] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0].jobs) <= MOST_IN_GROUP):
            group.append(self._waiting.popleft())
            size += len(group[-1].jobs)
        self._jobs_waiting -= size
        return group

    async def _commit(self, group: Sequence[_Request]) -> None:
        try:
            acceptances = await self._committer.commit([job for request in group for job in request.jobs])
        except LedgerUnavailableError as error:
            _refuse(group, error)
        except OutcomeUnknownError as error:
            for request in group:
                own_ids = [job.id for job in request.jobs]
                _refuse([request], OutcomeUnknownError(own_ids, error.reason))
        except Exception as error:
            # The database may refuse one row: commit each request alone, so that the others succeed.
            if len(group) == 1:
                _refuse(group, error)
            else:
                for request in group:
                    await self._commit([request])
        else:
            answers = iter(acceptances)
            for request in group:
                acceptances_of_request = list(islice(answers, len(request.jobs)))
                if not request.answer.done():  # done where the client has gone; its jobs stay accepted
                    request.answer.set_result(acceptances_of_request)


def _refuse(group: Sequence[_Request], error: Exception) -> None:
    for request in group:
        if not request.answer.done():
            request.answer.set_exception(error)
