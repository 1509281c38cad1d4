"""Reads the job ids from the argument of a message; any other argument is counted and dropped."""

from uuid import UUID

import structlog

from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault_and_commit

log = structlog.get_logger()

MOST_JOBS = 10_000


def job_ids_of(argument: object) -> list[str]:
    """Return the job ids in a message's argument, or an empty list if it holds anything else."""
    if isinstance(argument, list) and 0 < len(argument) <= MOST_JOBS and all(map(_is_id, argument)):
        return argument
    log.error("message dropped, it names no job", argument=repr(argument)[:200])
    count_fault_and_commit(get_ledger().database, FaultKind.BAD_MESSAGE)
    return []


def _is_id(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False
