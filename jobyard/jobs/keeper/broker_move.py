"""The moves of the ledger when the yard moves to another broker, where none of its messages are.

A queued job that was published becomes one that never was, and is published like any such. Whoever is killed
in between has lost nothing: what is called unsent is taken up by the keepers.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import QUEUED_JOB, job, status_is
from jobyard.jobs.job import QueuedJob, Status
from jobyard.settings.queues import PRIORITIES


def now(database: LedgerDatabase) -> datetime:
    """Return the database's time: what was published by then was published at whatever broker there was."""
    with database.reading() as connection:
        return connection.execute(select(db_now())).scalar_one()


def take_published(
    connection: Connection, until: datetime, limit: int, unsent_after: timedelta, queues: Collection[str]
) -> list[QueuedJob]:
    """Return queued jobs that were published up to a moment, as if they never were.

    The most urgent come first, and of those the oldest. Each rank of each queue is a range of an index, so
    that the ones that were published again meanwhile are not looked at.
    """
    taken: list[QueuedJob] = []
    for priority in reversed(PRIORITIES):
        for queue in queues:
            if len(taken) < limit:
                which = and_(_published(until), job.c.queue == queue, job.c.priority == priority)
                taken += _take(connection, which, limit - len(taken), unsent_after)
    return taken


def _take(
    connection: Connection, which: ColumnElement[bool], limit: int, unsent_after: timedelta
) -> list[QueuedJob]:
    oldest = select(job.c.id).where(which).order_by(job.c.published_at).limit(limit)
    statement = (
        update(job)
        .where(job.c.id.in_(oldest.with_for_update(skip_locked=True)))
        .values(published_at=None, publish_count=0, resend_at=db_now(plus=unsent_after))
        .returning(*QUEUED_JOB)
    )
    return [QueuedJob(*row) for row in connection.execute(statement)]


def has_published(database: LedgerDatabase, until: datetime) -> bool:
    """Tell whether any job is left that was published up to a moment, and is queued still."""
    with database.reading() as connection:
        return bool(connection.execute(select(exists().where(_published(until)))).scalar())


def count_published(database: LedgerDatabase) -> Mapping[str, int]:
    """Return how many jobs of each queue wait with a message in some broker."""
    is_published = and_(status_is(Status.QUEUED), job.c.published_at.is_not(None))
    statement = select(job.c.queue, func.count()).where(is_published).group_by(job.c.queue)
    with database.reading() as connection:
        return {queue: number for queue, number in connection.execute(statement)}


def _published(until: datetime) -> ColumnElement[bool]:
    return and_(status_is(Status.QUEUED), job.c.published_at.is_not(None), job.c.published_at <= until)
