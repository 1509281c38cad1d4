"""Writes to the worker's log how attempts ended."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from jobyard.jobs.job import Failed, Failure, HandedBack, NotStarted, Outcome, Succeeded

log = structlog.get_logger()


def log_outcomes(outcomes: Sequence[Outcome], tasks: Mapping[str, str]) -> None:
    """Write what became of these attempts to the log; `tasks` are the names of their tasks by job id."""
    # One log entry for all that succeeded: a bundle may hold 200 jobs, and the ledger has each.
    succeeded = [outcome for outcome in outcomes if isinstance(outcome, Succeeded)]
    if len(succeeded) > 1:
        first = succeeded[0].job_id
        log.info("succeeded", job_id=first, task=tasks[first], jobs=len(succeeded))
        outcomes = [outcome for outcome in outcomes if not isinstance(outcome, Succeeded)]
    for outcome in outcomes:
        _log_outcome(outcome, tasks[outcome.job_id])


def _log_outcome(outcome: Outcome, task_name: str) -> None:
    fields = {"job_id": outcome.job_id, "task": task_name, "attempt": outcome.attempt}
    match outcome:
        case NotStarted():
            log.debug("not started, for others to run", **fields)
        case HandedBack():
            log.warning("handed back", **fields, reason=outcome.reason)
        case Failed(retry_in=None):
            log.error("dead", **fields, cause=outcome.failure.cause, reason=reason_of(outcome.failure))
        case Failed(retry_in=timedelta() as delay):
            seconds = round(delay.total_seconds(), 1)
            log.warning("failed, will retry", **fields, retry_in_s=seconds, reason=reason_of(outcome.failure))
        case _:
            log.info("succeeded", **fields)


def reason_of(failure: Failure) -> str:
    """Return the failure in one line, as the log and Flower show it."""
    return f"{failure.type}: {failure.message}"
