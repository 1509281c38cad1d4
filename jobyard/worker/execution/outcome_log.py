"""Writes to the worker's log how attempts ended."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from jobyard.jobs.job import Cause, Failed, Failure, HandedBack, NotStarted, Outcome, PutOff, Succeeded

log = structlog.get_logger()


def log_outcomes(outcomes: Sequence[Outcome], tasks: Mapping[str, str]) -> None:
    """Write what became of these attempts to the log; `tasks` are the names of their tasks by job id."""
    # One log entry for all that succeeded, and one for all that were put off: a bundle may hold 200 jobs, and
    # the ledger has each.
    for kind in (Succeeded, PutOff):
        alike = [outcome for outcome in outcomes if isinstance(outcome, kind)]
        if alike:
            _log_outcome(alike[0], tasks[alike[0].job_id], {"jobs": len(alike)} if len(alike) > 1 else {})
    for outcome in outcomes:
        if not isinstance(outcome, (Succeeded, PutOff)):
            _log_outcome(outcome, tasks[outcome.job_id], {})


def _log_outcome(outcome: Outcome, task_name: str, more: Mapping[str, int]) -> None:
    fields = {"job_id": outcome.job_id, "task": task_name, "attempt": outcome.attempt, **more}
    match outcome:
        case NotStarted():
            log.debug("not started, for others to run", **fields)
        case HandedBack():
            log.warning("handed back", **fields, reason=outcome.reason)
        case PutOff():
            log.warning("left to workers of another version", **fields, reason=reason_of(outcome.failure))
        case Failed(retry_in=None):
            # A task that discards its job has decided so; every other dead job is for a person to look at.
            log_event = log.warning if outcome.failure.cause is Cause.DISCARDED else log.error
            traceback = {"exception": outcome.failure.traceback} if outcome.failure.traceback else {}
            reason = reason_of(outcome.failure)
            log_event("dead", **fields, cause=outcome.failure.cause, reason=reason, **traceback)
        case Failed(retry_in=timedelta() as delay):
            seconds = round(delay.total_seconds(), 1)
            log.warning("failed, will retry", **fields, retry_in_s=seconds, reason=reason_of(outcome.failure))
        case _:
            log.info("succeeded", **fields)


def reason_of(failure: Failure) -> str:
    """Return the failure in one line, as the log and Flower show it."""
    return f"{failure.type}: {failure.message}"
