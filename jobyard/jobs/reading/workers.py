"""The workers that the ledger has heard of: each announces itself every few seconds."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import worker as worker_table

FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Announcement:
    """What a worker says of itself; `queues` is a comma-separated list."""

    name: str
    pid: int
    pool: str
    concurrency: int
    queues: str


@dataclass(frozen=True)
class KnownWorker(Announcement):
    """A worker as it was last heard of; it is live while that is not longer ago than a lease."""

    started_at: datetime
    seen_at: datetime
    is_live: bool


def announce(database: LedgerDatabase, worker: Announcement) -> None:
    """Note that a worker is alive; one whose process id is new has started now."""
    new = asdict(worker)
    is_it = worker_table.c.name == worker.name
    seen = (
        update(worker_table)
        .where(is_it, worker_table.c.pid == worker.pid)
        .values(new | {"seen_at": db_now()})
    )
    with database.writing() as connection:
        if connection.execute(seen).rowcount == 0:
            connection.execute(delete(worker_table).where(is_it))
            connection.execute(
                insert(worker_table).values(new | {"started_at": db_now(), "seen_at": db_now()})
            )


def list_workers(database: LedgerDatabase, live_for: timedelta) -> list[KnownWorker]:
    """Return every worker that was heard of in the last hour, by name."""
    table = worker_table.c
    is_live = table.seen_at >= db_now(plus=-live_for)
    statement = (
        select(*(getattr(table, name) for name in _SHOWN), is_live.label("is_live"))
        .where(table.seen_at >= db_now(plus=-FORGOTTEN_AFTER))
        .order_by(table.name)
    )
    with database.reading() as connection:
        return [KnownWorker(**row._mapping) for row in connection.execute(statement)]


def slots_by_queue(database: LedgerDatabase, live_for: timedelta) -> dict[str, int]:
    """Return how many jobs the live workers of each queue can run at once."""
    table = worker_table.c
    statement = select(table.queues, table.concurrency).where(table.seen_at >= db_now(plus=-live_for))
    slots: dict[str, int] = {}
    with database.reading() as connection:
        for queues, concurrency in connection.execute(statement):
            for queue in queues.split(","):
                slots[queue] = slots.get(queue, 0) + concurrency
    return slots


_SHOWN = ("name", "pid", "pool", "concurrency", "queues", "started_at", "seen_at")
