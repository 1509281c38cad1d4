"""Calls of `jobyard.accept`, the function in the ledger's database: their text, arguments and answers."""

from typing import Any, Final

from jobyard.jobs.database.driver_errors import MIGRATE
from jobyard.jobs.job import Acceptance, NewJob, Verdict

NO_LEDGER: Final = (
    f"this connection's database holds no ledger: it must be that of JOBYARD_LEDGER__URL, after {MIGRATE}"
)
_ARGUMENTS: Final = (
    *("task", "payload", "queue", "priority", "max_attempts", "delay", "run_at", "expires_in"),
    *("unique_key", "idempotency_key", "request_hash", "tags", "parent"),
)


def call_text(marker: str) -> str:
    """Return the SQL text of a call, with each parameter as `marker` writes it: `:{}` or `%({})s`."""
    arguments = ", ".join(f"{name} => {marker.format(name)}" for name in _ARGUMENTS)
    return f"SELECT job_id, verdict FROM jobyard.accept({arguments})"


def arguments_of(new: NewJob) -> dict[str, Any]:
    """Return the arguments of a call for a job, by name."""
    return {name: getattr(new, name) for name in _ARGUMENTS} | {"tags": list(new.tags)}


def acceptance_of(job_id: object, verdict: str) -> Acceptance:
    """Return the `Acceptance` in a row of the answer."""
    return Acceptance(str(job_id), Verdict(verdict))
