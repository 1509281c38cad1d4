"""Decides where a group of jobs is committed: in the server, or if it is large in a process beside it."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.http.commit.commit_process import CommitProcess, ProcessLostError
from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings, get_settings
from jobyard.tasks.accepted import is_heard, report_accepted

log = structlog.get_logger()

# The smallest group that is worth sending to another process (measured with as many callers).
LARGE_GROUP: Final = 8
# How soon after a start the next may be tried, if that process was lost or could not be started.
RESTART_AFTER_SECONDS: Final = 10.0


class Committer:
    """Commits groups; the process beside the server is started by the first large one."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._reports = ThreadPoolExecutor(max_workers=1, thread_name_prefix="accepted")
        self._process: CommitProcess | None = None
        self._starting: asyncio.Task[None] | None = None
        self._starts_from = monotonic()

    @property
    def groups_at_once(self) -> int:
        """How many groups to give it at once: the process then has its next when it is done with one."""
        return 1 if self._process is None else 2

    async def commit(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError`, and then none of them is.

        Raises `OutcomeUnknownError` where that is not known.
        """
        acceptances = await self._commit(new_jobs)
        if is_heard():
            # Not on the thread that commits, and no caller waits for it.
            self._reports.submit(report_accepted, new_jobs, acceptances)
        return acceptances

    async def _commit(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        if len(new_jobs) >= LARGE_GROUP:
            if self._process is not None:
                return await self._commit_in_process(self._process, new_jobs)
            self._start_process()
        return await self._commit_here(new_jobs)

    async def close(self) -> None:
        """Commit what was begun, and end the process and the thread."""
        if self._starting is not None:
            await self._starting
        if self._process is not None:
            await self._process.close()
            self._process = None
        self._thread.shutdown()
        self._reports.shutdown()

    async def _commit_here(self, new_jobs: Sequence[NewJob], doubt: str | None = None) -> list[Acceptance]:
        accept_and_publish = get_accept_and_publish()
        early = accept_and_publish.send_early(new_jobs)
        accept = partial(accept_and_publish.accept, self._ledger.accept, new_jobs, early, doubt=doubt)
        return await asyncio.get_running_loop().run_in_executor(self._thread, accept)

    async def _commit_in_process(
        self, process: CommitProcess, new_jobs: Sequence[NewJob]
    ) -> list[Acceptance]:
        try:
            acceptances = await process.accept(new_jobs)
        except ProcessLostError as error:
            # The ledger knows the ids of the jobs that it has committed, and does not commit them again.
            log.warning("the process that commits was lost, the server commits", reason=str(error))
            if self._process is process:
                self._process = None
                await process.kill()
            return await self._commit_here(new_jobs, doubt=f"the process that commits was lost: {error}")
        return await self._commit_here(new_jobs) if acceptances is None else acceptances

    def _start_process(self) -> None:
        # Another process would not share a ledger in memory, nor settings that a test has changed.
        current = get_settings()
        may_start = self._settings.api.committer and current.api.committer and not current.tasks.eager
        if may_start and self._starting is None and monotonic() >= self._starts_from:
            self._starts_from = monotonic() + RESTART_AFTER_SECONDS
            self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        process = CommitProcess()
        try:
            await process.start()
        except (OSError, ProcessLostError) as error:
            log.warning("no process to commit can be started, the server commits", reason=str(error))
        else:
            log.info("large groups are committed in a process beside the server", pid=process.pid)
            self._process = process
        finally:
            self._starting = None
