"""The leases that this process holds, renewed by one thread with one statement for all of them.

The thread is in the process that runs the jobs (a prefork child has its own), so a killed process renews
nothing, and its jobs are taken back. The code that runs a job watches its `Lease` and stops in time
(`stop_reason`), so that no two workers run a job at once.
"""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import ClaimedJob
from jobyard.jobs.ledger import Ledger, get_ledger
from jobyard.settings import get_settings
from jobyard.settings.locked_cache import locked_cache

log = structlog.get_logger()

# The share of a lease after which a worker that could not renew it stops: no other worker has the job yet.
FENCE_SHARE: Final = 0.8
STOPPING: Final = "the worker is stopping"
NOT_RENEWED: Final = "the lease could not be renewed in time"


def _wake_nothing() -> None:
    pass


class Lease:
    """The right to run one attempt; `wake` is called when it has to stop."""

    def __init__(
        self, job: ClaimedJob, lease_seconds: float, claimed_at: float, renew_until: float = math.inf
    ) -> None:
        self.key = (job.id, job.attempt)
        self._fence_seconds = FENCE_SHARE * lease_seconds
        self.renewed_at = claimed_at
        self.renew_until = renew_until
        self.stop_reason: str | None = None
        self.wake: Callable[[], object] = _wake_nothing

    @property
    def fenced_at(self) -> float:
        """When this process has to stop, on its monotonic clock, unless the lease is renewed before."""
        return self.renewed_at + self._fence_seconds

    def reason_to_stop(self, now: float) -> str | None:
        """Return why the attempt has to stop, or None if it may go on; `now` is monotonic."""
        return self.stop_reason or (NOT_RENEWED if now >= self.fenced_at else None)

    def stop(self, reason: str) -> None:
        self.stop_reason = self.stop_reason or reason
        self.wake()


LeasedJob = tuple[ClaimedJob, Lease]


class Leases:
    """Holds leases and renews them every third of a lease."""

    def __init__(self, ledger: Ledger, lease: timedelta) -> None:
        self._ledger, self._lease_seconds = ledger, lease.total_seconds()
        self._leases: dict[tuple[str, int], Lease] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_handing_back = False
        self._closing = threading.Event()

    @contextmanager
    def hold(
        self, jobs: Sequence[ClaimedJob], claimed_at: float, limit_seconds: float | None = None
    ) -> Iterator[list[Lease]]:
        """Renew the leases of jobs during the block; `claimed_at` is monotonic, from before the claim.

        The renewals end one lease after `limit_seconds`: a job that runs for longer hangs together with its
        supervisor, and the keeper is to take it back.
        """
        renew_seconds = math.inf if limit_seconds is None else limit_seconds + self._lease_seconds
        renew_until = claimed_at + renew_seconds
        leases = [Lease(job, self._lease_seconds, claimed_at, renew_until) for job in jobs]
        with self._lock:
            self._leases.update((lease.key, lease) for lease in leases)
            self._start_thread()
            if self._is_handing_back:
                for lease in leases:
                    lease.stop(STOPPING)
        try:
            yield leases
        finally:
            self.release(leases)

    def release(self, leases: Iterable[Lease]) -> None:
        """Stop renewing these leases; an attempt that did not begin may have a newer lease, which stays."""
        with self._lock:
            for lease in leases:
                if self._leases.get(lease.key) is lease:
                    del self._leases[lease.key]

    def hand_back_all(self) -> None:
        """Stop every attempt in this process, now and later, so that its job is handed back."""
        with self._lock:
            self._is_handing_back = True
            leases = list(self._leases.values())
        for lease in leases:
            lease.stop(STOPPING)

    def close(self) -> None:
        """End the thread, for a process that goes on and runs no more jobs."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _start_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
            self._thread.start()

    def _renew_for_ever(self) -> None:
        while not self._closing.is_set():
            try:
                self._closing.wait(self._lease_seconds / 3)
                self.renew()
            except BaseException:  # a task can raise an exception in any thread, and this one must not end
                log.exception("leases not renewed, trying again")

    def renew(self) -> None:
        """Renew every lease once; a failure is logged, and the next round tries again."""
        now = monotonic()
        with self._lock:
            leases = {key: lease for key, lease in self._leases.items() if now < lease.renew_until}
        if not leases:
            return
        try:
            ours = self._ledger.renew(list(leases))
        except LedgerUnavailableError as error:
            log.warning("leases not renewed", jobs=len(leases), reason=str(error))
            return
        for key, lease in leases.items():
            if key in ours:
                lease.renewed_at = now
            elif key in self._leases:  # the attempt has not ended in the meantime
                log.warning("lease lost", job_id=key[0], attempt=key[1])
                lease.stop("the lease was lost: the job has been given to another worker, or ended")


@locked_cache
def get_leases() -> Leases:
    """Return this process's leases."""
    return Leases(get_ledger(), get_settings().worker.lease)


# A forked child holds none of its parent's leases, and the thread did not cross the fork.
os.register_at_fork(after_in_child=get_leases.cache_clear)
