"""Calls of `jobyard.accept` and `jobyard.accept_call`, functions in the ledger's database."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from jobyard.jobs.database.driver_errors import MIGRATE
from jobyard.jobs.job import FIRST_CALL_FIELD, Acceptance, NewJob, Verdict

NO_LEDGER: Final = (
    f"this connection's database holds no ledger: it must be that of JOBYARD_LEDGER__URL, after {MIGRATE}"
)
# Of `jobyard.accept`; `jobyard.accept_call` takes the call fields too.
_ARGUMENTS: Final = (
    *("task", "payload", "queue", "priority", "max_attempts", "delay", "run_at", "expires_in"),
    *("unique_key", "idempotency_key", "request_hash", "tags", "parent"),
)
_CALL_FIELDS: Final = NewJob._fields[FIRST_CALL_FIELD:]


class CallTexts(NamedTuple):
    """The SQL texts of a call for a job without call fields, and for one with some."""

    plain: str
    with_call_fields: str

    @classmethod
    def with_marker(cls, marker: str) -> "CallTexts":
        """Return the texts with each parameter as `marker` writes it: `:{}` or `%({})s`."""
        return cls(
            _call_text("accept", _ARGUMENTS, marker),
            _call_text("accept_call", (*_ARGUMENTS, *_CALL_FIELDS), marker),
        )


def _call_text(function: str, names: Sequence[str], marker: str) -> str:
    arguments = ", ".join(f"{name} => {marker.format(name)}" for name in names)
    return f"SELECT job_id, verdict FROM jobyard.{function}({arguments})"


def arguments_of(new: NewJob) -> dict[str, Any]:
    """Return the arguments of a call for a job, by name."""
    names = (*_ARGUMENTS, *_CALL_FIELDS) if new.has_call_fields else _ARGUMENTS
    return {name: getattr(new, name) for name in names} | {"tags": list(new.tags)}


def acceptance_of(job_id: object, verdict: str) -> Acceptance:
    """Return the `Acceptance` in a row of the answer."""
    return Acceptance(str(job_id), Verdict(verdict))
