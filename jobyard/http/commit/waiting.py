"""`Prefer: wait=N` (RFC 7240): requests that wait for jobs share one query of the ledger."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import finished_among

POLL_SECONDS = 0.05

_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?([0-9]+)"?\s*(?=$|[,;])', re.IGNORECASE)


def requested_wait(prefer: Sequence[str], longest_seconds: float) -> float:
    """Return the seconds of the Prefer headers, at most `longest_seconds`; 0 without a valid `wait`.

    A preference that a server does not understand is ignored (RFC 7240, 2).
    """
    found = _WAIT.search(",".join(prefer))
    return min(float(found[1]), longest_seconds) if found else 0.0


class JobWaiter:
    """Lets requests wait until their jobs have ended."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._poller: asyncio.Task[None] | None = None

    async def wait_for_end(self, job_id: str, seconds: float) -> bool:
        """Wait until a job has ended, and return whether it did in time."""
        ended = asyncio.Event()
        self._waiters[job_id].add(ended)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._waiters[job_id].discard(ended)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

    async def _poll(self) -> None:
        try:
            while self._waiters:
                for job_id in await self._find_ended():
                    for ended in self._waiters.get(job_id, ()):
                        ended.set()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._poller = None

    async def _find_ended(self) -> set[str]:
        try:
            return await run_in_threadpool(finished_among, self._ledger.database, list(self._waiters))
        except LedgerUnavailableError:
            return set()  # the requests go on waiting, and the next query may succeed
