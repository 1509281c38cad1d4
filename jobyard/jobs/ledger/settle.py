"""How attempts end in the ledger: results stored, failures recorded, retries written down as rows."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Integer,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_locks import held, is_among
from jobyard.jobs.database.row_parameter import IDS, Rows
from jobyard.jobs.database.schema import Id, job
from jobyard.jobs.database.schema import attempt as attempt_table
from jobyard.jobs.database.statement import CommittedStatement
from jobyard.jobs.job import Failed, HandedBack, NotStarted, Outcome, Status, Succeeded

Key = tuple[str, int]  # a job's id and the attempt that is meant

HELD: Final = Rows(id=Id, attempt=Integer)
_RESULTS: Final = Rows(id=Id, attempt=Integer, result=Text)


def settle_succeeded(database: LedgerDatabase, outcomes: Sequence[Succeeded]) -> set[Key]:
    """Commit the results of attempts by one statement; return those that counted."""
    if len(outcomes) == 1:
        [one] = outcomes
        its = {"job_id": one.job_id, "its_attempt": one.attempt, "its_result": one.result}
        return set(database.run(_SUCCEED_ONE, its).rows)
    return set(database.run(_SUCCEED, _results(database.dialect, outcomes)).rows)


def settle(connection: Connection, outcomes: Sequence[Outcome]) -> set[Key]:
    """Record how attempts ended; return those that counted, which are those that still run.

    The lock comes first, so that all rows are locked in one order, of whatever kinds the ends are.
    """
    ours = _still_ours(connection, outcomes)
    current = [outcome for outcome in outcomes if (outcome.job_id, outcome.attempt) in ours]
    if succeeded := [o for o in current if isinstance(o, Succeeded)]:
        connection.execute(_succeeding(connection.dialect.name), _results(connection.dialect.name, succeeded))
    _settle_failed(connection, [o for o in current if isinstance(o, Failed)])
    _settle_handed_back(connection, [o.job_id for o in current if isinstance(o, HandedBack)])
    _settle_not_started(connection, [o.job_id for o in current if isinstance(o, NotStarted)])
    return ours


@cache
def _locking(dialect: str) -> Select[Any]:
    given = HELD.relation(dialect)
    found = held(dialect, given)
    return select(found.c.id, found.c.attempt).where(runs(found, given))


def runs(found: FromClause, given: FromClause) -> ColumnElement[bool]:
    """Return the condition that a job that was `held` runs, in the attempt that is given."""
    is_one = and_(given.c.id == found.c.id, given.c.attempt == found.c.attempt)
    return and_(is_one, found.c.status == Status.RUNNING)


def _still_ours(connection: Connection, outcomes: Sequence[Outcome]) -> set[Key]:
    rows = HELD.parameters(
        connection.dialect.name, [(outcome.job_id, outcome.attempt) for outcome in outcomes]
    )
    return {(id_, attempt) for id_, attempt in connection.execute(_locking(connection.dialect.name), rows)}


@cache
def _succeeding(dialect: str) -> ReturningUpdate[Any]:
    given = _RESULTS.relation(dialect)
    found = held(dialect, given)
    return _succeeding_where(and_(job.c.id == found.c.id, runs(found, given)), given.c.result)


def _succeeding_one(dialect: str) -> ReturningUpdate[Any]:
    is_it = and_(job.c.id == _of_job, job.c.attempt == bindparam("its_attempt", type_=Integer))
    result = bindparam("its_result", type_=Text)
    return _succeeding_where(and_(is_it, job.c.status == Status.RUNNING), result)


def _succeeding_where(condition: ColumnElement[bool], result: ColumnElement[str]) -> ReturningUpdate[Any]:
    return (
        update(job)
        .where(condition)
        .values(
            status=Status.SUCCEEDED,
            result=result,
            finished_at=db_now(),
            failure_cause=None,
            failure_type=None,
            failure_message=None,
            lease_until=None,
        )
        .returning(job.c.id, job.c.attempt)
    )


_SUCCEED: Final = CommittedStatement(_succeeding)
_SUCCEED_ONE: Final = CommittedStatement(_succeeding_one, finds_one=True)


def _results(dialect: str, outcomes: Sequence[Succeeded]) -> Mapping[str, str]:
    return _RESULTS.parameters(dialect, [(o.job_id, o.attempt, o.result) for o in outcomes])


_of_job = bindparam("job_id", type_=Id)


def _settle_failed(connection: Connection, outcomes: Sequence[Failed]) -> None:
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


def _settle_handed_back(connection: Connection, job_ids: Sequence[str]) -> None:
    _queue_again(connection, job_ids, queued_again())


def _settle_not_started(connection: Connection, job_ids: Sequence[str]) -> None:
    # No task has seen the number of this attempt, so it may be given out again.
    as_before = {"attempt": job.c.attempt - 1, "started_at": case((job.c.attempt > 1, job.c.started_at))}
    _queue_again(connection, job_ids, queued_again() | as_before)


def _queue_again(connection: Connection, job_ids: Sequence[str], values: dict[str, Any]) -> None:
    if not job_ids:
        return
    dialect = connection.dialect.name
    is_one = is_among(dialect, select(IDS.relation(dialect).c.id))
    rows = IDS.parameters(connection.dialect.name, [(job_id,) for job_id in job_ids])
    connection.execute(update(job).where(is_one).values(values), rows)


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
