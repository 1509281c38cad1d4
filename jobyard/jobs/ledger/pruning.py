"""Deletes old jobs in slices, so that no writer waits for long, and remembers the ids of deleted jobs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    not_,
    select,
    true,
)

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import declared_queue, job, pruned, replay, status_is, worker
from jobyard.jobs.files.claim_checks import MARK
from jobyard.jobs.job import FINAL, WAITING, Status
from jobyard.settings.retention import RetentionRule

# How long a request for a deleted job is answered with when it was deleted.
REMEMBERED_FOR: Final = timedelta(days=365)
# After this time without a process that declares it, a queue without jobs is not known any more.
UNDECLARED_FOR: Final = timedelta(days=3)
_MAY_RUN_AGAIN: Final = (*WAITING, Status.RUNNING, Status.DEAD)


class Slice(NamedTuple):
    """How many jobs were deleted, which have files, and where the next slice begins (None after the last)."""

    jobs: int
    with_files: list[str]
    after: datetime | None


def prune(
    connection: Connection,
    rule: RetentionRule,
    rules: Sequence[RetentionRule],
    limit: int,
    after: datetime | None = None,
) -> Slice:
    """Delete the oldest jobs to which `rule` applies, with their history, at most `limit` of them.

    `rules` are all rules: the most specific one that matches a job applies to it. The caller deletes the
    files of the deleted jobs after the commit. `after` is that of the slice before.
    """
    is_old = and_(status_is(*FINAL), job.c.finished_at < db_now(plus=-rule.keep))
    not_excepted = [not_(_matches(other)) for other in rules if _is_more_specific(other, rule)]
    has_file = job.c.payload.startswith(MARK) | func.coalesce(job.c.result.startswith(MARK), false())
    statement = (
        select(job.c.id, job.c.finished_at, has_file.label("has_file"))
        .where(is_old, _matches(rule), *not_excepted)
        .order_by(job.c.finished_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if after is not None:
        statement = statement.where(job.c.finished_at >= after)
    rows = connection.execute(statement).all()
    if not rows:
        return Slice(0, [], None)
    ids = [row.id for row in rows]
    connection.execute(insert(pruned).values(pruned_at=db_now()), [{"id": id_} for id_ in ids])
    connection.execute(delete(job).where(job.c.id.in_(ids)))
    last = rows[-1].finished_at if len(rows) == limit else None
    return Slice(len(rows), [row.id for row in rows if row.has_file], last)


def forget_old(connection: Connection, keep: timedelta) -> None:
    """Delete replay orders that ended `keep` ago, workers last seen then, and undeclared queues."""
    connection.execute(delete(replay).where(replay.c.ended_at < db_now(plus=-keep)))
    connection.execute(delete(worker).where(worker.c.seen_at < db_now(plus=-keep)))
    connection.execute(delete(pruned).where(pruned.c.pruned_at < db_now(plus=-REMEMBERED_FOR)))
    _forget_undeclared_queues(connection)


def _forget_undeclared_queues(connection: Connection) -> None:
    # Every worker notes its queues at its start and once an hour.
    is_stale = declared_queue.c.seen_at < db_now(plus=-UNDECLARED_FOR)
    may_run = exists().where(job.c.queue == declared_queue.c.name, status_is(*_MAY_RUN_AGAIN))
    connection.execute(delete(declared_queue).where(is_stale, ~may_run))


def _matches(rule: RetentionRule) -> ColumnElement[bool]:
    of_task = job.c.task == rule.task if rule.task else true()
    return and_(of_task, job.c.status == rule.status) if rule.status else of_task


def _is_more_specific(other: RetentionRule, rule: RetentionRule) -> bool:
    return _specificity(other) > _specificity(rule)


def _specificity(rule: RetentionRule) -> tuple[bool, bool]:
    # A task is more specific than a status, and both together are more specific than one.
    return rule.task is not None, rule.status is not None
