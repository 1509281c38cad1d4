"""Jobs of another version of the code, which wait for a worker that knows their task and reads their payload.

While a deployment is rolling, workers of two versions fetch from one queue. A job that one of them cannot run
is queued again; one that no worker could run for `KEEPER__UNKNOWN_FOR` is dead.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job
from jobyard.jobs.job import Failed, Failure, PutOff, Status
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault
from jobyard.jobs.ledger.settle import (
    FAILURE,
    IS_THIS_JOB,
    NOT_STARTED,
    failure_row,
    queued_again,
    settle_failed,
)
from jobyard.settings.sections import KeeperSettings

# Jobs are published again every `resend_after`, and after ten times that only every tenth time, so that many
# jobs which no worker can run cost the workers little.
RARE: Final = 10


def put_off_queued(
    connection: Connection, job_ids: Sequence[str], failure: Failure, keeper: KeeperSettings
) -> None:
    """Put off those of the jobs that are queued, because this worker does not know their task."""
    is_among_them = job.c.id.in_(job_ids) & (job.c.status == Status.QUEUED)
    count_fault(connection, FaultKind.UNKNOWN_TASK)
    dead = {"status": Status.DEAD, "finished_at": db_now()}
    shown = {
        "failure_cause": failure.cause,
        "failure_type": failure.type,
        "failure_message": failure.message,
    }
    connection.execute(update(job).where(is_among_them, _has_waited_too_long(keeper)).values(dead | shown))
    connection.execute(update(job).where(is_among_them).values(_put_off_values(keeper) | shown))


def settle_put_off(connection: Connection, outcomes: Sequence[PutOff], keeper: KeeperSettings) -> None:
    """Put off running jobs, whose rows are locked; those that have waited for too long are dead."""
    if not outcomes:
        return
    count_fault(connection, FaultKind.OTHER_VERSION, len(outcomes))
    ids = [outcome.job_id for outcome in outcomes]
    too_long = select(job.c.id).where(job.c.id.in_(ids), _has_waited_too_long(keeper))
    dead = set(connection.execute(too_long).scalars())
    failed = [Failed(outcome.job_id, outcome.attempt, outcome.failure, None) for outcome in outcomes]
    settle_failed(connection, [outcome for outcome in failed if outcome.job_id in dead])
    if waiting := [failure_row(outcome) for outcome in failed if outcome.job_id not in dead]:
        values = NOT_STARTED | _put_off_values(keeper) | FAILURE
        connection.execute(update(job).where(IS_THIS_JOB).values(values), waiting)


def _has_waited_too_long(keeper: KeeperSettings) -> ColumnElement[bool]:
    return job.c.unknown_since < db_now(plus=-keeper.unknown_for)


def _put_off_values(keeper: KeeperSettings) -> dict[str, Any]:
    rarely = RARE * keeper.resend_after
    resend_at = case(
        (job.c.unknown_since < db_now(plus=-rarely), db_now(plus=rarely)),
        else_=db_now(plus=keeper.resend_after),
    )
    since = func.coalesce(job.c.unknown_since, db_now())
    return queued_again() | {"resend_at": resend_at, "unknown_since": since}
