"""The leases that this process holds, renewed by one thread in one statement for all of them.

The thread lives in the process that runs the jobs (a prefork child has its own), so a killed process
renews nothing and its jobs are taken back.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

import structlog

from config.settings import get_settings
from jobs.clock import monotonic
from jobs.errors import LedgerUnavailableError
from jobs.job import ClaimedJob
from jobs.ledger import Ledger, get_ledger

log = structlog.get_logger()


class Leases:
    """Holds (job, attempt) pairs and renews their leases every third of a lease."""

    def __init__(self, ledger: Ledger, lease: timedelta) -> None:
        self._ledger, self._beat_seconds = ledger, lease.total_seconds() / 3
        self._deadlines: dict[tuple[str, int], float | None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def held(self, jobs: Sequence[ClaimedJob], time_limit: float | None = None) -> Iterator[None]:
        """Renew these jobs' leases during the block, but not beyond `time_limit` seconds and a lease.

        So a job that hangs on a thread, where nobody can stop it, is taken back in the end;
        what it writes then is refused.
        """
        deadline = monotonic() + time_limit if time_limit else None
        keys = [(job.id, job.attempt) for job in jobs]
        with self._lock:
            self._deadlines.update(dict.fromkeys(keys, deadline))
            self._start_thread()
        try:
            yield
        finally:
            with self._lock:
                for key in keys:
                    self._deadlines.pop(key, None)

    def _start_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
            self._thread.start()

    def _renew_for_ever(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._beat_seconds)
            self.renew()

    def renew(self) -> None:
        """Renew every lease once; a failure is logged and the next beat tries again."""
        now = monotonic()
        with self._lock:
            held = [key for key, deadline in self._deadlines.items() if deadline is None or now < deadline]
        if not held:
            return
        try:
            ours = self._ledger.renew(held)
        except LedgerUnavailableError as error:
            log.warning("leases not renewed", jobs=len(held), reason=str(error))
            return
        for job_id, attempt in held:
            if job_id not in ours:
                log.warning("lease lost", job_id=job_id, attempt=attempt)


@cache
def get_leases() -> Leases:
    """Return this process's leases."""
    return Leases(get_ledger(), get_settings().worker.lease)


# A forked child holds none of its parent's leases, and the thread did not cross the fork.
os.register_at_fork(after_in_child=get_leases.cache_clear)
