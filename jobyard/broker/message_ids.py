"""What a message of the yard says: which jobs wait. Whatever else it says is counted and dropped."""

from uuid import UUID

import structlog

from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import Tally, count_alone

log = structlog.get_logger()

MOST_JOBS = 10_000


def job_ids_of(argument: object) -> list[str]:
    """Return the job ids that a message's argument names, and none where it is anything else."""
    if isinstance(argument, list) and 0 < len(argument) <= MOST_JOBS and all(map(_is_id, argument)):
        return argument
    log.error("message dropped, it names no job", argument=repr(argument)[:200])
    count_alone(get_ledger().database, Tally.BAD_MESSAGE)
    return []


def _is_id(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False
