"""How attempts end in the ledger: stores results, records failures, and sets the time of retries."""

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
    delete,
    false,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_locks import current_jobs, is_among
from jobyard.jobs.database.row_parameter import IDS, RowParameter
from jobyard.jobs.database.schema import Id, job
from jobyard.jobs.database.schema import attempt as attempt_table
from jobyard.jobs.database.statement import CommittedStatement
from jobyard.jobs.job import Failed, HandedBack, NotStarted, Outcome, Status, Succeeded

AttemptKey = tuple[str, int]  # the id of a job and the number of an attempt

ATTEMPT_KEYS: Final = RowParameter(id=Id, attempt=Integer)
_RESULTS: Final = RowParameter(id=Id, attempt=Integer, result=Text)


def settle_succeeded(database: LedgerDatabase, outcomes: Sequence[Succeeded]) -> set[AttemptKey]:
    """Commit the results of attempts by one statement; return the keys of those that were still running."""
    if len(outcomes) == 1:
        [only] = outcomes
        parameters = {"job_id": only.job_id, "its_attempt": only.attempt, "its_result": only.result}
        return {(only.job_id, only.attempt)} if database.run(_SUCCEED_ONE, parameters).written else set()
    return set(database.run(_SUCCEED, _results(database.dialect, outcomes)).rows)


def settle(connection: Connection, outcomes: Sequence[Outcome]) -> set[AttemptKey]:
    """Record how attempts ended; return the keys of those that were still running, which alone count.

    What becomes of a `PutOff` is in `put_off.py`.
    The rows are locked first, so that they are locked in one order for every mixture of outcomes.
    """
    ours = _lock_running(connection, outcomes)
    current = [outcome for outcome in outcomes if (outcome.job_id, outcome.attempt) in ours]
    if succeeded := [o for o in current if isinstance(o, Succeeded)]:
        connection.execute(
            _succeed_statement(connection.dialect.name), _results(connection.dialect.name, succeeded)
        )
    settle_failed(connection, [o for o in current if isinstance(o, Failed)])
    _settle_handed_back(connection, [o.job_id for o in current if isinstance(o, HandedBack)])
    _settle_not_started(connection, [o.job_id for o in current if isinstance(o, NotStarted)])
    return ours


@cache
def _lock_query(dialect: str) -> Select[Any]:
    given = ATTEMPT_KEYS.relation(dialect)
    current = current_jobs(dialect, given)
    return select(current.c.id, current.c.attempt).where(is_running_attempt(current, given))


def is_running_attempt(current: FromClause, given: FromClause) -> ColumnElement[bool]:
    """Return the condition that a job of `current_jobs` is running, in the attempt in `given`."""
    is_same_attempt = and_(given.c.id == current.c.id, given.c.attempt == current.c.attempt)
    return and_(is_same_attempt, current.c.status == Status.RUNNING)


def _lock_running(connection: Connection, outcomes: Sequence[Outcome]) -> set[AttemptKey]:
    rows = ATTEMPT_KEYS.parameters(
        connection.dialect.name, [(outcome.job_id, outcome.attempt) for outcome in outcomes]
    )
    return {(id_, attempt) for id_, attempt in connection.execute(_lock_query(connection.dialect.name), rows)}


@cache
def _succeed_statement(dialect: str) -> ReturningUpdate[Any]:
    given = _RESULTS.relation(dialect)
    current = current_jobs(dialect, given)
    is_current = and_(job.c.id == current.c.id, is_running_attempt(current, given))
    return _succeed_where(is_current, given.c.result).returning(job.c.id, job.c.attempt)


def _succeed_one_statement(dialect: str) -> Update:
    is_this_one = and_(job.c.id == _job_id, job.c.attempt == bindparam("its_attempt", type_=Integer))
    result = bindparam("its_result", type_=Text)
    return _succeed_where(and_(is_this_one, job.c.status == Status.RUNNING), result)


def _succeed_where(condition: ColumnElement[bool], result: ColumnElement[str]) -> Update:
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
    )


_SUCCEED: Final = CommittedStatement(_succeed_statement)
_SUCCEED_ONE: Final = CommittedStatement(_succeed_one_statement, finds_one_row=True)


def _results(dialect: str, outcomes: Sequence[Succeeded]) -> Mapping[str, str]:
    return _RESULTS.parameters(dialect, [(o.job_id, o.attempt, o.result) for o in outcomes])


_job_id = bindparam("job_id", type_=Id)
IS_THIS_JOB: Final = job.c.id == _job_id


def settle_failed(connection: Connection, outcomes: Sequence[Failed]) -> None:
    """Record attempts that failed, of jobs whose rows are locked: each is retried, or dead."""
    record_attempts(connection, outcomes)
    retried = [outcome for outcome in outcomes if outcome.retry_in is not None]
    dead = [outcome for outcome in outcomes if outcome.retry_in is None]
    if retried:
        retry_at = db_now(plus=bindparam("retry_in", type_=Float))
        later = {"run_at": retry_at, "published_at": None, "publish_count": 0, "unknown_since": None}
        connection.execute(
            _failed(Status.RETRYING).values(later), [failure_row(outcome) for outcome in retried]
        )
    if dead:
        statement = _failed(Status.DEAD).values(finished_at=db_now())
        connection.execute(statement, [failure_row(outcome) for outcome in dead])


def _settle_handed_back(connection: Connection, job_ids: Sequence[str]) -> None:
    _queue_again(connection, job_ids, queued_again())


def _settle_not_started(connection: Connection, job_ids: Sequence[str]) -> None:
    _queue_again(connection, job_ids, queued_again() | NOT_STARTED | {"unknown_since": job.c.unknown_since})


def _queue_again(connection: Connection, job_ids: Sequence[str], values: dict[str, Any]) -> None:
    if not job_ids:
        return
    dialect = connection.dialect.name
    is_among_them = is_among(dialect, select(IDS.relation(dialect).c.id))
    rows = IDS.parameters(dialect, [(job_id,) for job_id in job_ids])
    connection.execute(update(job).where(is_among_them).values(values), rows)


def queued_again(unsent_after: timedelta = timedelta(0)) -> dict[str, Any]:
    """Return the column values of a queued job that no worker has any longer.

    The keeper publishes it at once, or `unsent_after` from now if the caller is about to publish it.
    """
    return {
        "status": Status.QUEUED,
        "lease_until": None,
        "published_at": None,
        "publish_count": 0,
        "resend_at": db_now(plus=unsent_after),
        "unknown_since": None,
    }


# The values of a job whose attempt never began: no task has got its number, so the next attempt may have it.
NOT_STARTED: Final[dict[str, Any]] = {
    "attempt": job.c.attempt - 1,
    "started_at": case((job.c.attempt > 1, job.c.started_at)),
}
# The values of a job that keeps a failure, with the parameters of `failure_row`.
FAILURE: Final[dict[str, Any]] = {
    "failure_cause": bindparam("cause"),
    "failure_type": bindparam("type"),
    "failure_message": bindparam("message"),
}


def _failed(status: Status) -> Update:
    values = {
        "status": status,
        "failures": job.c.failures + bindparam("counted", type_=Integer),
        "lost": job.c.lost + bindparam("newly_lost", type_=Integer),
        "lease_until": None,
    }
    return update(job).where(IS_THIS_JOB).values(values | FAILURE)


def failure_row(outcome: Failed) -> dict[str, Any]:
    """Return the parameters of the statements that record a failure."""
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


# The attempts in the history of a job that is tried for ever, or put off again and again: the newest ones.
MOST_ATTEMPTS_KEPT: Final = 200


def _forget_old_attempts(connection: Connection, outcome: Failed) -> None:
    is_of_job = attempt_table.c.job_id == outcome.job_id
    # What the next attempt would read (`current_job().progress`) stays, however old it is.
    newest_progress = (
        select(func.max(attempt_table.c.attempt))
        .where(is_of_job, attempt_table.c.progress.is_not(None))
        .scalar_subquery()
    )
    is_read = func.coalesce(attempt_table.c.attempt == newest_progress, false())
    is_old = attempt_table.c.attempt <= outcome.attempt - MOST_ATTEMPTS_KEPT
    connection.execute(delete(attempt_table).where(is_of_job, is_old, ~is_read))


_ATTEMPT_FIELDS: Final = ("cause", "type", "module", "message", "traceback", "progress")


def record_attempts(connection: Connection, outcomes: Sequence[Failed]) -> None:
    """Add a row to the history for each attempt that did not succeed, before its job is changed."""
    if not outcomes:
        return
    from_job = [job.c.attempt, job.c.worker, job.c.started_at]
    from_outcome = [db_now(), *(bindparam(name) for name in _ATTEMPT_FIELDS)]
    columns = [
        *("job_id", "attempt", "worker", "started_at"),
        *("ended_at", *_ATTEMPT_FIELDS),
    ]
    for outcome in outcomes:
        if outcome.attempt > MOST_ATTEMPTS_KEPT:
            _forget_old_attempts(connection, outcome)
    statement = insert(attempt_table).from_select(
        columns, select(job.c.id, *from_job, *from_outcome).where(job.c.id == _job_id)
    )
    rows = [
        {
            "job_id": outcome.job_id,
            "cause": outcome.failure.cause,
            "type": outcome.failure.type,
            "module": outcome.failure.module,
            "message": outcome.failure.message,
            "traceback": outcome.failure.traceback,
            "progress": outcome.progress,
        }
        for outcome in outcomes
    ]
    connection.execute(statement, rows)
