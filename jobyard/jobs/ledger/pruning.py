"""What is deleted because it is old: in slices that hold nobody up, and remembered by its id."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, false, func, insert, not_, select, true

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job, pruned, replay, status_is, worker
from jobyard.jobs.files.claim_checks import MARK
from jobyard.jobs.job import FINAL
from jobyard.settings.retention import RetentionRule

# For so long it is answered that a job was here once, and is no more.
REMEMBERED_FOR: Final = timedelta(days=365)


class Slice(NamedTuple):
    """How many jobs were deleted, which of them have files, and when the last had ended; None at the end."""

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
    """Delete the oldest jobs that `rule` is about, with their history, `limit` at most.

    `rules` are all of them: a job goes by the one that says most about it. Their files are the caller's to
    delete, once this is committed.
    """
    is_old = and_(status_is(*FINAL), job.c.finished_at < db_now(plus=-rule.keep))
    others = [not_(_is_about(other)) for other in rules if _wins(other, rule)]
    has_file = job.c.payload.startswith(MARK) | func.coalesce(job.c.result.startswith(MARK), false())
    statement = (
        select(job.c.id, job.c.finished_at, has_file.label("has_file"))
        .where(is_old, _is_about(rule), *others)
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
    """Delete the orders to replay that ended, and the workers that fell silent, longer than `keep` ago."""
    connection.execute(delete(replay).where(replay.c.ended_at < db_now(plus=-keep)))
    connection.execute(delete(worker).where(worker.c.seen_at < db_now(plus=-keep)))
    connection.execute(delete(pruned).where(pruned.c.pruned_at < db_now(plus=-REMEMBERED_FOR)))


def _is_about(rule: RetentionRule) -> ColumnElement[bool]:
    of_task = job.c.task == rule.task if rule.task else true()
    return and_(of_task, job.c.status == rule.status) if rule.status else of_task


def _wins(other: RetentionRule, rule: RetentionRule) -> bool:
    """Tell whether `other` says more: a task does more than an end, and both do more than one."""
    said, more = ((one.task is not None, one.status is not None) for one in (rule, other))
    return more > said
