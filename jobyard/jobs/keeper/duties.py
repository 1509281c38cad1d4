"""The moves that only the keeper makes: due, to be sent again, lost with a worker, expired.

Each takes at most `limit` jobs, and rows that another keeper holds are skipped (PostgreSQL) or no longer
fit the condition (SQLite, one writer at a time), so any number of keepers may run side by side.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Update, and_, exists, func, select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.row_parameter import POSTGRESQL
from jobyard.jobs.database.schema import QUEUED_JOB, job, replay, status_is
from jobyard.jobs.job import WAITING, Cause, Failed, Failure, QueuedJob, Status
from jobyard.jobs.ledger.fault_counters import Tally, count
from jobyard.jobs.ledger.settle import queued_again, record_attempts

# Messages of one queue may overtake each other by as much without being lost: workers fetch side by side.
_OVERTAKING = timedelta(seconds=5)


def _is_due() -> ColumnElement[bool]:
    return and_(status_is(Status.SCHEDULED, Status.RETRYING), job.c.run_at <= db_now())


def _is_unsent() -> ColumnElement[bool]:
    return and_(status_is(Status.QUEUED), job.c.published_at.is_(None), job.c.resend_at <= db_now())


def _is_lost() -> ColumnElement[bool]:
    return and_(status_is(Status.RUNNING), job.c.lease_until < db_now())


def _is_late() -> ColumnElement[bool]:
    is_waiting = status_is(*WAITING)  # the words of its index; retrying jobs have started
    return and_(is_waiting, job.c.expires_at <= db_now(), job.c.started_at.is_(None))


class Duty(StrEnum):
    """What there may be to do, by the reason that is logged."""

    LOST = "lost with a worker"
    LATE = "not started in time"
    DUE = "due"
    REPLAY = "replayed"
    UNSENT = "never published"


def pending(connection: Connection) -> set[Duty]:
    """Return the duties that have work, so that an idle yard is only read and nobody's write is held up."""
    row = connection.execute(_LOOK).one()
    return {duty for duty, has_work in zip(_HAS_WORK, row, strict=True) if has_work}


_HAS_WORK: Final = {
    Duty.LOST: _is_lost(),
    Duty.LATE: _is_late(),
    Duty.DUE: _is_due(),
    Duty.REPLAY: replay.c.status == "running",
    Duty.UNSENT: _is_unsent(),
}
# Every keeper asks this every second: to build it again each time would be most of what an idle one does.
_LOOK: Final = select(*(exists().where(condition) for condition in _HAS_WORK.values()))


def enqueue_due(connection: Connection, limit: int, unsent_after: timedelta) -> list[QueuedJob]:
    """Queue the scheduled and retrying jobs whose time has come."""
    _keep_order_by_index(connection)
    statement = (
        update(job)
        .where(job.c.id.in_(_pick(_is_due(), job.c.run_at, limit)))
        .values(status=Status.QUEUED, published_at=None, publish_count=0, resend_at=db_now(plus=unsent_after))
    )
    return _queued(connection, statement)


def republish_unsent(connection: Connection, limit: int, unsent_after: timedelta) -> list[QueuedJob]:
    """Return jobs that were committed and never published, and put off their next turn."""
    return _take(connection, _is_unsent(), (job.c.priority.desc(), job.c.id), limit, unsent_after)


def republish_lost_messages(
    connection: Connection, limit: int, unsent_after: timedelta, empty_queues: Collection[str]
) -> list[QueuedJob]:
    """Return published jobs whose messages must be lost, and put off their next turn.

    A message is lost when its queue has moved on without it: a job of the same queue and priority that was
    published later is running, or the broker says that the queue is empty. A long queue proves nothing.
    """
    drained = [job.c.queue == queue for queue in empty_queues]
    overtaken = [
        and_(job.c.queue == queue, job.c.priority == priority, job.c.published_at < latest - _OVERTAKING)
        for queue, priority, latest in _latest_running(connection)
        if queue not in empty_queues
    ]
    is_published = and_(status_is(Status.QUEUED), job.c.published_at.is_not(None))
    taken: list[QueuedJob] = []
    # One by one, and in the order of their index: a planner that is asked for all of them at once, or in the
    # order of their ids, looks through whatever is queued.
    for part in drained + overtaken:
        has_waited = and_(is_published, part, job.c.resend_at <= db_now())
        order = (job.c.priority.desc(), job.c.published_at)
        taken += _take(connection, has_waited, order, limit - len(taken), unsent_after)
    return taken


def rescue_lost_jobs(
    connection: Connection, limit: int, max_lost: int, unsent_after: timedelta
) -> list[QueuedJob]:
    """Queue the jobs whose lease ran out again, or call them dead when it was the `max_lost`th time."""
    lost = connection.execute(
        select(job.c.id, job.c.attempt, job.c.lost, job.c.worker)
        .where(_is_lost())
        .order_by(job.c.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    failures = [Failed(row.id, row.attempt, _lost_failure(row.worker), None) for row in lost]
    record_attempts(connection, failures)
    count(connection, Tally.LOST_WORKER, len(lost))
    doomed = [row.id for row in lost if row.lost + 1 >= max_lost]
    cause = _lost_failure(None, f"the job took {max_lost} workers down with it, or each died on its own")
    connection.execute(
        update(job)
        .where(job.c.id.in_(doomed))
        .values(
            status=Status.DEAD,
            lost=job.c.lost + 1,
            lease_until=None,
            finished_at=db_now(),
            failure_cause=cause.cause,
            failure_type=cause.type,
            failure_message=cause.message,
        )
    )
    statement = (
        update(job)
        .where(job.c.id.in_([row.id for row in lost if row.id not in doomed]))
        .values(queued_again(unsent_after) | {"lost": job.c.lost + 1})
    )
    return _queued(connection, statement)


def expire_late(connection: Connection, limit: int) -> int:
    """Expire the jobs that were not started in time; return how many."""
    statement = (
        update(job)
        .where(job.c.id.in_(_pick(_is_late(), job.c.expires_at, limit)))
        .values(status=Status.EXPIRED, finished_at=db_now())
    )
    return connection.execute(statement).rowcount


def _keep_order_by_index(connection: Connection) -> None:
    # PostgreSQL thinks that few jobs are due, and would sort all of them for each group that is taken.
    if connection.dialect.name == POSTGRESQL:
        connection.exec_driver_sql("SET LOCAL enable_sort = off")


def _pick(condition: ColumnElement[bool], order: ColumnElement[datetime], limit: int) -> Any:
    return select(job.c.id).where(condition).order_by(order).limit(limit).with_for_update(skip_locked=True)


def _take(
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
    return _queued(connection, statement)


def _queued(connection: Connection, statement: Update) -> list[QueuedJob]:
    return [QueuedJob(*row) for row in connection.execute(statement.returning(*QUEUED_JOB))]


def _latest_running(connection: Connection) -> list[tuple[str, int, datetime]]:
    statement = (
        select(job.c.queue, job.c.priority, func.max(job.c.published_at))
        .where(status_is(Status.RUNNING), job.c.published_at.is_not(None))
        .group_by(job.c.queue, job.c.priority)
    )
    return [tuple(row) for row in connection.execute(statement)]


def _lost_failure(worker: str | None, message: str = "") -> Failure:
    message = message or f"worker {worker} held the job and fell silent: killed, frozen or cut off"
    return Failure(Cause.LOST_WORKER, "WorkerLost", message)
