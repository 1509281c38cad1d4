"""The changes that only the keeper makes: to jobs that are due, unsent, lost with a worker, or expired.

Each changes at most `limit` jobs. Rows that another keeper has locked are skipped (PostgreSQL) or no longer
match the condition (SQLite, with one writer at a time), so any number of keepers may run at once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Update, and_, exists, func, select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.row_parameter import POSTGRESQL
from jobyard.jobs.database.schema import QUEUED_JOB, declared_task, job, replay, status_is
from jobyard.jobs.job import WAITING, Cause, Failed, Failure, QueuedJob, Status
from jobyard.jobs.keeper.lost_messages import LostMessages
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault
from jobyard.jobs.ledger.settle import queued_again, record_attempts


def _is_due() -> ColumnElement[bool]:
    return and_(status_is(Status.SCHEDULED, Status.RETRYING), job.c.run_at <= db_now())


def _is_unsent() -> ColumnElement[bool]:
    return and_(status_is(Status.QUEUED), job.c.published_at.is_(None), job.c.resend_at <= db_now())


def _is_lost() -> ColumnElement[bool]:
    return and_(status_is(Status.RUNNING), job.c.lease_until < db_now())


def _is_late() -> ColumnElement[bool]:
    return and_(status_is(*WAITING), job.c.expires_at <= db_now())


class Duty(StrEnum):
    """The duties of the keeper; the value is the reason that it logs."""

    LOST = "lost with a worker"
    LATE = "not run in time"
    DUE = "due"
    REPLAY = "replayed"
    UNSENT = "never published"


def pending(connection: Connection) -> set[Duty]:
    """Return the duties that have work, so that a keeper without work only reads and delays no writer."""
    row = connection.execute(_PENDING_QUERY).one()
    return {duty for duty, has_work in zip(_WORK_CONDITIONS, row, strict=True) if has_work}


_WORK_CONDITIONS: Final = {
    Duty.LOST: _is_lost(),
    Duty.LATE: _is_late(),
    Duty.DUE: _is_due(),
    Duty.REPLAY: replay.c.status == "running",
    Duty.UNSENT: _is_unsent(),
}
# Built once: each keeper runs it every second, and building it would be most of what an idle keeper does.
_PENDING_QUERY: Final = select(*(exists().where(condition) for condition in _WORK_CONDITIONS.values()))


def enqueue_due(connection: Connection, limit: int, unsent_after: timedelta) -> list[QueuedJob]:
    """Queue the scheduled and retrying jobs whose time has come."""
    _disable_sort(connection)
    statement = (
        update(job)
        .where(job.c.id.in_(_ids_to_change(_is_due(), job.c.run_at, limit)))
        .values(status=Status.QUEUED, published_at=None, publish_count=0, resend_at=db_now(plus=unsent_after))
    )
    return _update_and_return(connection, statement)


def republish_unsent(connection: Connection, limit: int, unsent_after: timedelta) -> list[QueuedJob]:
    """Return jobs that were committed and never published, and delay their next publishing."""
    return _delay_resending(connection, _is_unsent(), (job.c.priority.desc(), job.c.id), limit, unsent_after)


def republish_lost_messages(
    connection: Connection, limit: int, unsent_after: timedelta, lost: Sequence[LostMessages]
) -> list[QueuedJob]:
    """Return published jobs whose messages are lost, and delay their next publishing."""
    republished: list[QueuedJob] = []
    # One condition at a time, and in the order of the index: a query for all of them, or in the order of the
    # ids, would scan all queued jobs.
    for messages in lost:
        order = (job.c.priority.desc(), job.c.published_at)
        left = limit - len(republished)
        republished += _delay_resending(connection, messages.condition(), order, left, unsent_after)
    return republished


def rescue_lost_jobs(
    connection: Connection, limit: int, max_lost: int, unsent_after: timedelta
) -> list[QueuedJob]:
    """Queue jobs whose lease has run out again; one that has lost too many workers is dead instead.

    How many it may lose is declared with its task; otherwise it is dead at the `max_lost`th time.
    """
    lost = connection.execute(
        select(job.c.id, job.c.attempt, job.c.lost, job.c.worker, _max_losses(max_lost))
        .where(_is_lost())
        .order_by(job.c.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    failures = [Failed(row.id, row.attempt, _lost_failure(row.worker), None) for row in lost]
    record_attempts(connection, failures)
    count_fault(connection, FaultKind.LOST_WORKER, len(lost))
    dead = [row for row in lost if row.lost >= row.max_losses]
    dead_ids = [row.id for row in dead]
    for losses in {row.lost + 1 for row in dead}:
        _mark_dead(connection, [row.id for row in dead if row.lost + 1 == losses], losses)
    statement = (
        update(job)
        .where(job.c.id.in_([row.id for row in lost if row.id not in dead_ids]))
        .values(queued_again(unsent_after) | {"lost": job.c.lost + 1})
    )
    return _update_and_return(connection, statement)


def _max_losses(max_lost: int) -> ColumnElement[int]:
    declared = select(declared_task.c.max_losses).where(declared_task.c.name == job.c.task).scalar_subquery()
    return func.coalesce(declared, max_lost - 1).label("max_losses")


def _mark_dead(connection: Connection, job_ids: Sequence[str], losses: int) -> None:
    message = f"{losses} workers were lost with this job: it ended them, or each ended for another reason"
    if losses == 1:
        message = "a worker was lost with this job, which may not begin a second time (max_losses=0)"
    failure = _lost_failure(None, message)
    connection.execute(
        update(job)
        .where(job.c.id.in_(job_ids))
        .values(
            status=Status.DEAD,
            lost=job.c.lost + 1,
            lease_until=None,
            finished_at=db_now(),
            failure_cause=failure.cause,
            failure_type=failure.type,
            failure_message=failure.message,
        )
    )


def expire_late(connection: Connection, limit: int) -> int:
    """Expire jobs that wait, for their first attempt or another, when their time is over; return how many."""
    statement = (
        update(job)
        .where(job.c.id.in_(_ids_to_change(_is_late(), job.c.expires_at, limit)))
        .values(status=Status.EXPIRED, finished_at=db_now())
    )
    return connection.execute(statement).rowcount


def _disable_sort(connection: Connection) -> None:
    # PostgreSQL expects that few jobs are due, and would sort all of them for each batch.
    if connection.dialect.name == POSTGRESQL:
        connection.exec_driver_sql("SET LOCAL enable_sort = off")


def _ids_to_change(condition: ColumnElement[bool], order: ColumnElement[datetime], limit: int) -> Any:
    return select(job.c.id).where(condition).order_by(order).limit(limit).with_for_update(skip_locked=True)


def _delay_resending(
    connection: Connection,
    condition: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]],
    limit: int,
    unsent_after: timedelta,
) -> list[QueuedJob]:
    most_urgent = (
        select(job.c.id).where(condition).order_by(*order).limit(limit).with_for_update(skip_locked=True)
    )
    statement = update(job).where(job.c.id.in_(most_urgent)).values(resend_at=db_now(plus=unsent_after))
    return _update_and_return(connection, statement)


def _update_and_return(connection: Connection, statement: Update) -> list[QueuedJob]:
    return [QueuedJob(*row) for row in connection.execute(statement.returning(*QUEUED_JOB))]


def _lost_failure(worker: str | None, message: str = "") -> Failure:
    message = (
        message or f"worker {worker} ran the job and stopped renewing its lease: killed, frozen or cut off"
    )
    return Failure(Cause.LOST_WORKER, "WorkerLost", message)
