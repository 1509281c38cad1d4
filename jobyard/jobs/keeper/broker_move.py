"""Changes in the ledger for a move to another broker, which has none of the messages that were sent.

A queued job that was published becomes one that never was, and is published again. If the process is killed
in between, nothing is lost: the keepers publish unsent jobs.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import QUEUED_JOB, job, status_is
from jobyard.jobs.job import QueuedJob, Status
from jobyard.settings.queues import PRIORITIES


def database_time(database: LedgerDatabase) -> datetime:
    """Return the database's time: jobs published until then have their messages in the old broker."""
    with database.reading() as connection:
        return connection.execute(select(db_now())).scalar_one()


def mark_unpublished(
    connection: Connection, until: datetime, limit: int, unsent_after: timedelta, queues: Collection[str]
) -> list[QueuedJob]:
    """Mark queued jobs that were published until a moment as never published, and return them.

    The most urgent come first, and of those the oldest. Each priority of each queue is a range of an index,
    so that jobs which were published again meanwhile are not read.
    """
    unpublished: list[QueuedJob] = []
    for priority in reversed(PRIORITIES):
        for queue in queues:
            if len(unpublished) < limit:
                condition = and_(_is_published(until), job.c.queue == queue, job.c.priority == priority)
                unpublished += _mark_oldest(connection, condition, limit - len(unpublished), unsent_after)
    return unpublished


def _mark_oldest(
    connection: Connection, condition: ColumnElement[bool], limit: int, unsent_after: timedelta
) -> list[QueuedJob]:
    oldest = select(job.c.id).where(condition).order_by(job.c.published_at).limit(limit)
    statement = (
        update(job)
        .where(job.c.id.in_(oldest.with_for_update(skip_locked=True)))
        .values(published_at=None, publish_count=0, resend_at=db_now(plus=unsent_after))
        .returning(*QUEUED_JOB)
    )
    return [QueuedJob(*row) for row in connection.execute(statement)]


def has_published(database: LedgerDatabase, until: datetime) -> bool:
    """Tell whether a job that was published until a moment is still queued."""
    with database.reading() as connection:
        return bool(connection.execute(select(exists().where(_is_published(until)))).scalar())


def count_published(database: LedgerDatabase) -> Mapping[str, int]:
    """Return how many jobs of each queue wait with a message in a broker."""
    is_published = and_(status_is(Status.QUEUED), job.c.published_at.is_not(None))
    statement = select(job.c.queue, func.count()).where(is_published).group_by(job.c.queue)
    with database.reading() as connection:
        return {queue: number for queue, number in connection.execute(statement)}


def _is_published(until: datetime) -> ColumnElement[bool]:
    return and_(status_is(Status.QUEUED), job.c.published_at.is_not(None), job.c.published_at <= until)
