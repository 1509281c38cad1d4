"""`jobyard.accept`, the function in the ledger's database: how it is called, and what it answers."""

from typing import Any, Final

from jobyard.jobs.database.faults import MIGRATE
from jobyard.jobs.job import Acceptance, NewJob, Verdict

NO_LEDGER: Final = (
    f"this connection's database holds no ledger: it must be that of JOBYARD_LEDGER__URL, after {MIGRATE}"
)
_VALUES: Final = (
    *("task", "payload", "queue", "priority", "max_attempts", "delay", "run_at", "expires_in"),
    *("unique_key", "idempotency_key", "request_hash", "tags", "parent"),
)


def call(marker: str) -> str:
    """Return the call, with each value's place as `marker` writes it: `:{}` or `%({})s`."""
    values = ", ".join(f"{name} => {marker.format(name)}" for name in _VALUES)
    return f"SELECT job_id, verdict FROM jobyard.accept({values})"


def values_of(new: NewJob) -> dict[str, Any]:
    """Return what a call is given of a job, by name."""
    return {name: getattr(new, name) for name in _VALUES} | {"tags": list(new.tags)}


def acceptance_of(job_id: object, verdict: str) -> Acceptance:
    """Return what a row of the answer says."""
    return Acceptance(str(job_id), Verdict(verdict))
