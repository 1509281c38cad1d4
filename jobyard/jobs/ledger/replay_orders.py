"""Replays of many jobs: an order names dead jobs, and the keeper releases them at a bounded rate.

A canary order has three stages: 1 job, then 10 %, then the rest. A stage begins when all jobs of the stage
before have ended; if one of them is dead again, the keeper stops the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, select, update

from jobyard.jobs.actors import KEEPER
from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import job, replay_item
from jobyard.jobs.database.schema import replay as replay_table
from jobyard.jobs.errors import ReplayNotFoundError
from jobyard.jobs.job import QueuedJob, Status, new_id
from jobyard.jobs.ledger.dead_letters import UniqueKeyTakenError, replay

CANARY_SHARE: Final = 0.1
# The most that one call releases is what the rate allows in this time. An order begins with that much, so
# that a small one does not wait for the keeper.
BURST: Final = timedelta(seconds=1)


class ReplayStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay order and its progress: `released` counts the jobs that were queued again.

    `actor` gave the order, and `stopped_by` stopped it; both are as in `jobyard/jobs/actors.py`.
    """

    id: str
    status: ReplayStatus
    is_canary: bool
    stage: int
    actor: str | None
    reason: str | None
    stopped_by: str | None
    stop_reason: str | None
    created_at: datetime
    ended_at: datetime | None
    total: int
    released: int
    succeeded: int
    dead_again: int
    refused: int


def order_replay(
    connection: Connection, job_ids: Sequence[str], *, is_canary: bool, actor: str, reason: str | None
) -> str:
    """Record an order for these jobs, each once, and return its id."""
    unique = list(dict.fromkeys(job_ids))
    replay_id = new_id()
    connection.execute(
        insert(replay_table).values(
            id=replay_id,
            status=ReplayStatus.RUNNING,
            is_canary=is_canary,
            actor=actor,
            reason=reason,
            total=len(unique),
            created_at=db_now(),
            released_at=db_now(plus=-BURST),
        )
    )
    rows = [
        {"replay_id": replay_id, "job_id": job_id, "stage": _stage(index, len(unique), is_canary)}
        for index, job_id in enumerate(unique)
    ]
    if rows:
        connection.execute(insert(replay_item), rows)
    return replay_id


def _stage(index: int, total: int, is_canary: bool) -> int:
    if not is_canary or index == 0:
        return 0
    return 1 if index <= max(1, round(total * CANARY_SHARE)) else 2


def running_replays(database: LedgerDatabase) -> list[str]:
    """Return the ids of the running orders, oldest first."""
    statement = (
        select(replay_table.c.id)
        .where(replay_table.c.status == ReplayStatus.RUNNING)
        .order_by(replay_table.c.id)
    )
    with database.reading() as connection:
        return list(connection.execute(statement).scalars())


def advance_replay(
    connection: Connection, replay_id: str, rate: float, limit: int, unsent_after: timedelta
) -> list[QueuedJob]:
    """Release the next jobs of an order, at most `rate` in a second and `limit` at once.

    A transaction handles one order, and locks its jobs in the order of their ids, so that two orders cannot
    wait for each other.
    """
    running = select(replay_table).where(
        replay_table.c.id == replay_id, replay_table.c.status == ReplayStatus.RUNNING
    )
    order = connection.execute(running.with_for_update(skip_locked=True)).one_or_none()
    return _advance(connection, order, rate, limit, unsent_after) if order is not None else []


def stop_replay(connection: Connection, replay_id: str, actor: str, reason: str | None) -> None:
    """Stop an order, unless it has ended: no more of its jobs are released. Raises `ReplayNotFoundError`."""
    is_this_one = replay_table.c.id == replay_id
    if connection.execute(select(replay_table.c.id).where(is_this_one)).one_or_none() is None:
        raise ReplayNotFoundError(replay_id)
    _stop(connection, is_this_one & (replay_table.c.status == ReplayStatus.RUNNING), actor, reason)


def list_replays(database: LedgerDatabase, limit: int) -> list[Replay]:
    """Return the latest orders, newest first."""
    with database.reading() as connection:
        rows = connection.execute(_with_figures().order_by(replay_table.c.id.desc()).limit(limit))
        return [_as_replay(row) for row in rows]


def get_replay(database: LedgerDatabase, replay_id: str) -> Replay:
    """Return one order; raises `ReplayNotFoundError`."""
    with database.reading() as connection:
        row = connection.execute(_with_figures().where(replay_table.c.id == replay_id)).one_or_none()
    if row is None:
        raise ReplayNotFoundError(replay_id)
    return _as_replay(row)


def refusals(database: LedgerDatabase, replay_id: str, limit: int) -> dict[str, str]:
    """Return why jobs of an order were not replayed, by job id, for at most `limit` jobs."""
    statement = (
        select(replay_item.c.job_id, replay_item.c.refused)
        .where(replay_item.c.replay_id == replay_id, replay_item.c.refused.is_not(None))
        .order_by(replay_item.c.job_id)
        .limit(limit)
    )
    with database.reading() as connection:
        return {row.job_id: row.refused for row in connection.execute(statement)}


def _advance(
    connection: Connection, order: Any, rate: float, limit: int, unsent_after: timedelta
) -> list[QueuedJob]:
    if order.is_canary and (death := _first_death(connection, order.id)):
        _stop(connection, replay_table.c.id == order.id, KEEPER, death)
        return []
    waiting = (
        (replay_item.c.replay_id == order.id) & replay_item.c.refused.is_(None) & ~replay_item.c.released
    )
    now = connection.execute(select(db_now())).scalar_one()
    # At most a burst, however long no keeper called this, and at least zero, if the clock was set back.
    elapsed = min(max(now - order.released_at, timedelta(0)), max(BURST, timedelta(seconds=1 / rate)))
    allowed = min(limit, int(elapsed.total_seconds() * rate))
    next_jobs = select(replay_item.c.job_id).where(waiting, replay_item.c.stage == order.stage)
    job_ids = list(connection.execute(next_jobs.order_by(replay_item.c.job_id).limit(allowed)).scalars())
    if job_ids:
        connection.execute(update(replay_table).where(replay_table.c.id == order.id).values(released_at=now))
        return [queued for job_id in job_ids if (queued := _release(connection, order, job_id, unsent_after))]
    if allowed and not connection.execute(select(exists(next_jobs))).scalar():
        _end_stage(
            connection, order, has_more=bool(connection.execute(select(exists().where(waiting))).scalar())
        )
    return []


def _end_stage(connection: Connection, order: Any, *, has_more: bool) -> None:
    unfinished = [status for status in Status if not status.is_final]
    is_unfinished = exists().where(_is_released(order.id, *unfinished))
    if order.is_canary and connection.execute(select(is_unfinished)).scalar():
        return  # only the end of these jobs shows whether the stage has failed
    if has_more:
        connection.execute(
            update(replay_table).where(replay_table.c.id == order.id).values(stage=replay_table.c.stage + 1)
        )
    else:
        _end(connection, replay_table.c.id == order.id, ReplayStatus.DONE)


def _release(connection: Connection, order: Any, job_id: str, unsent_after: timedelta) -> QueuedJob | None:
    is_item = (replay_item.c.replay_id == order.id) & (replay_item.c.job_id == job_id)
    try:
        queued = replay(connection, job_id, unsent_after, actor=order.actor, reason=order.reason)
        refused = None if queued else "no job with this id is dead"
    except UniqueKeyTakenError as error:
        queued, refused = None, str(error)
    connection.execute(
        update(replay_item).where(is_item).values(released=queued is not None, refused=refused)
    )
    return queued


def _is_released(replay_id: str, *statuses: Status) -> ColumnElement[bool]:
    return and_(
        replay_item.c.replay_id == replay_id,
        replay_item.c.released,
        replay_item.c.job_id == job.c.id,
        job.c.status.in_(statuses),
    )


def _first_death(connection: Connection, replay_id: str) -> str | None:
    statement = (
        select(job.c.id, job.c.failure_cause, job.c.failure_type)
        .where(_is_released(replay_id, Status.DEAD))
        .order_by(job.c.finished_at, job.c.id)
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return f"job {row.id} is dead again: {row.failure_cause} ({row.failure_type})" if row else None


def _stop(connection: Connection, condition: ColumnElement[bool], actor: str, reason: str | None) -> None:
    _end(connection, condition, ReplayStatus.STOPPED, stopped_by=actor, stop_reason=reason)


def _end(
    connection: Connection, condition: ColumnElement[bool], status: ReplayStatus, **stop: str | None
) -> None:
    values = {"status": status, "ended_at": db_now()} | stop
    connection.execute(update(replay_table).where(condition).values(values))


def _with_figures() -> Any:
    def count_items(condition: Any) -> Any:
        return (
            select(func.count())
            .select_from(replay_item.outerjoin(job, job.c.id == replay_item.c.job_id))
            .where(replay_item.c.replay_id == replay_table.c.id, condition)
            .scalar_subquery()
        )

    released = replay_item.c.released
    return select(
        replay_table,
        count_items(released).label("released"),
        count_items(released & (job.c.status == Status.SUCCEEDED)).label("succeeded"),
        count_items(released & (job.c.status == Status.DEAD)).label("dead_again"),
        count_items(replay_item.c.refused.is_not(None)).label("refused"),
    )


def _as_replay(row: Any) -> Replay:
    fields = {name: row._mapping[name] for name in Replay.__slots__}
    return Replay(**fields | {"status": ReplayStatus(row.status)})
