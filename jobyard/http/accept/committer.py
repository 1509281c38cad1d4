"""Where a group of jobs is committed and rung for: here, or under load in a process beside the server."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog

from jobyard.broker.early_publish import get_doorbell
from jobyard.http.accept.commit_process import Beside, ProcessLostError
from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger.ledger import Ledger
from jobyard.settings.settings import Settings

log = structlog.get_logger()

# Of as many callers; measured, a second process gains nothing with fewer.
LARGE_GROUP: Final = 8
START_AGAIN_AFTER_SECONDS: Final = 10.0


class Committer:
    """Commits groups. The process beside starts with the first large one, and does them all from then on."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="committer")
        self._beside: Beside | None = None
        self._starting: asyncio.Task[None] | None = None
        self._start_at = monotonic()

    @property
    def at_once(self) -> int:
        """How many groups may be under way: the process beside finds the next when it is done with one."""
        return 1 if self._beside is None else 2

    async def commit(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError`, and then none of them is."""
        if self._beside is None and len(new_jobs) >= LARGE_GROUP:
            self._want_company()
        acceptances = await self._commit_beside(self._beside, new_jobs) if self._beside else None
        if acceptances is None:
            loop, doorbell = asyncio.get_running_loop(), get_doorbell()
            commit = partial(doorbell.accept, self._ledger.accept, new_jobs, doorbell.ring_ahead(new_jobs))
            acceptances = await loop.run_in_executor(self._thread, commit)
        return acceptances

    async def close(self) -> None:
        """Finish what was begun."""
        if self._starting is not None:
            await self._starting
        if self._beside is not None:
            await self._beside.close()
            self._beside = None
        self._thread.shutdown()

    async def _commit_beside(self, beside: Beside, new_jobs: Sequence[NewJob]) -> list[Acceptance] | None:
        try:
            return await beside.accept(new_jobs)
        except ProcessLostError as error:
            # Whatever it has committed of them is found by the ids, and is not committed again.
            log.warning("the process that commits was lost, the server does it", reason=str(error))
            if self._beside is beside:
                self._beside = None
                await beside.kill()
            return None

    def _want_company(self) -> None:
        if self._settings.api.committer and self._starting is None and monotonic() >= self._start_at:
            self._start_at = monotonic() + START_AGAIN_AFTER_SECONDS
            self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        beside = Beside(self._settings)
        try:
            await beside.start()
        except (OSError, ProcessLostError) as error:
            log.warning("no process to commit can be started, the server does it", reason=str(error))
        else:
            log.info("groups are committed in a process beside the server", pid=beside.pid)
            self._beside = beside
        finally:
            self._starting = None
