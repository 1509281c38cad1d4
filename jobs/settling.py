"""How attempts end in the ledger: results stored, failures recorded, retries written down as rows."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Float, Integer, Update, bindparam, insert, select, update

from jobs.clock import db_now
from jobs.job import Failed, Outcome, Status, Succeeded
from jobs.schema import Id, job
from jobs.schema import attempt as attempt_table
from jobs.slices import slices


def still_ours(connection: Connection, outcomes: Sequence[Outcome]) -> set[tuple[str, int]]:
    """Return the (job id, attempt) pairs that are running now, and lock them."""
    job_ids = [outcome.job_id for outcome in outcomes]
    statement = (
        select(job.c.id, job.c.attempt)
        .where(job.c.status == Status.RUNNING)
        .order_by(job.c.id)
        .with_for_update()
    )
    return {
        (id_, attempt)
        for some in slices(job_ids)
        for id_, attempt in connection.execute(statement.where(job.c.id.in_(some)))
    }


_of_job = bindparam("job_id", type_=Id)


def settle_succeeded(connection: Connection, outcomes: Sequence[Succeeded]) -> None:
    if not outcomes:
        return
    statement = (
        update(job)
        .where(job.c.id == _of_job)
        .values(
            status=Status.SUCCEEDED,
            result=bindparam("its_result"),
            finished_at=db_now(),
            failure_cause=None,
            failure_type=None,
            failure_message=None,
            lease_until=None,
        )
    )
    connection.execute(statement, [{"job_id": o.job_id, "its_result": o.result} for o in outcomes])


def settle_failed(connection: Connection, outcomes: Sequence[Failed]) -> None:
    record_attempts(connection, outcomes)
    again = [outcome for outcome in outcomes if outcome.retry_in is not None]
    dead = [outcome for outcome in outcomes if outcome.retry_in is None]
    if again:
        retry_at = db_now(plus=bindparam("retry_in", type_=Float))
        statement = _failed(Status.RETRYING).values(run_at=retry_at, published_at=None, publish_count=0)
        connection.execute(statement, [_failure_row(outcome) for outcome in again])
    if dead:
        statement = _failed(Status.DEAD).values(finished_at=db_now())
        connection.execute(statement, [_failure_row(outcome) for outcome in dead])


def settle_handed_back(connection: Connection, job_ids: Sequence[str]) -> None:
    if job_ids:
        statement = update(job).where(job.c.id.in_(job_ids)).values(queued_again())
        connection.execute(statement)


def queued_again(unsent_after: timedelta = timedelta(0)) -> dict[str, Any]:
    """Return the values of a job that no worker has any longer.

    The keeper publishes it at once, or where somebody is about to, `unsent_after` from now.
    """
    return {
        "status": Status.QUEUED,
        "lease_until": None,
        "published_at": None,
        "publish_count": 0,
        "resend_at": db_now(plus=unsent_after),
    }


def _failed(status: Status) -> Update:
    return (
        update(job)
        .where(job.c.id == _of_job)
        .values(
            status=status,
            failures=job.c.failures + bindparam("counted", type_=Integer),
            lost=job.c.lost + bindparam("newly_lost", type_=Integer),
            failure_cause=bindparam("cause"),
            failure_type=bindparam("type"),
            failure_message=bindparam("message"),
            lease_until=None,
        )
    )


def _failure_row(outcome: Failed) -> dict[str, Any]:
    row: dict[str, Any] = {
        "job_id": outcome.job_id,
        "cause": outcome.failure.cause,
        "type": outcome.failure.type,
        "message": outcome.failure.message,
        "counted": int(outcome.counts),
        "newly_lost": int(outcome.is_lost),
    }
    if outcome.retry_in is not None:
        row["retry_in"] = outcome.retry_in.total_seconds()
    return row


def record_attempts(connection: Connection, outcomes: Sequence[Failed]) -> None:
    """Add a row to the history for each attempt that did not succeed, before its job is changed."""
    if not outcomes:
        return
    of_job = [job.c.attempt, job.c.worker, job.c.started_at]
    new = [db_now(), *(bindparam(name) for name in ("cause", "type", "message", "traceback"))]
    columns = [
        "job_id",
        "attempt",
        "worker",
        "started_at",
        "ended_at",
        "cause",
        "type",
        "message",
        "traceback",
    ]
    statement = insert(attempt_table).from_select(
        columns, select(job.c.id, *of_job, *new).where(job.c.id == _of_job)
    )
    rows = [
        {
            "job_id": outcome.job_id,
            "cause": outcome.failure.cause,
            "type": outcome.failure.type,
            "message": outcome.failure.message,
            "traceback": outcome.failure.traceback,
        }
        for outcome in outcomes
    ]
    connection.execute(statement, rows)
