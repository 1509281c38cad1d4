"""The group commit of an API process: requests that arrive during one commit go into the next together.

No request waits for a timer: on a quiet API a group is one request and is committed at once. Commits run one
after another on one thread, because one commit of a large group is faster than several of small ones.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger import Ledger

# Most jobs in one transaction: longer transactions delay the workers that write to the same SQLite file.
MOST_IN_GROUP: Final = 500
# Most jobs that wait in memory for their commit; then requests are refused. About 40 MB of 2 KB payloads.
MOST_WAITING: Final = 20_000


class _Request(NamedTuple):
    jobs: Sequence[NewJob]
    answer: "asyncio.Future[list[Acceptance]]"


class AsyncGroupCommit:
    """Accepts jobs for many requests at once; the answers are in the order of the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._waiting: deque[_Request] = deque()
        self._jobs_waiting = 0
        self._committing: asyncio.Task[None] | None = None

    async def accept(self, jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError` where none could be written."""
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
            if self._committing is None:
                self._committing = asyncio.create_task(self._commit_all())
        return request.answer

    async def close(self) -> None:
        """Commit the jobs that wait, and end the thread."""
        if self._committing is not None:
            await self._committing
        self._thread.shutdown()

    async def _commit_all(self) -> None:
        # The first group is formed only now, so it holds every request of this event loop iteration.
        try:
            while self._waiting:
                await self._commit(self._next_group())
        finally:
            self._committing = None

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
            acceptances = await self._accept([job for request in group for job in request.jobs])
        except LedgerUnavailableError as error:
            _refuse(group, error)
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

    async def _accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        accept_and_publish = get_accept_and_publish()
        early = accept_and_publish.send_early(new_jobs)
        accept = partial(accept_and_publish.accept, self._ledger.accept, new_jobs, early)
        return await asyncio.get_running_loop().run_in_executor(self._thread, accept)


def _refuse(group: Sequence[_Request], error: Exception) -> None:
    for request in group:
        if not request.answer.done():
            request.answer.set_exception(error)
