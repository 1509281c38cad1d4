"""The workers that have announced themselves in the ledger, which each does every few seconds."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import worker as worker_table

FORGOTTEN_AFTER = timedelta(hours=1)
_COLUMNS = ("name", "pid", "pool", "concurrency", "queues", "started_at", "seen_at")


@dataclass(frozen=True)
class Announcement:
    """What a worker announces about itself; `queues` is a comma-separated list."""

    name: str
    pid: int
    pool: str
    concurrency: int
    queues: str


@dataclass(frozen=True)
class KnownWorker(Announcement):
    """The last announcement of a worker, which is live if that is not longer ago than a lease."""

    started_at: datetime
    seen_at: datetime
    is_live: bool


def announce(database: LedgerDatabase, worker: Announcement) -> bool:
    """Note that a worker is alive; if its process id is new, it has started now. Return whether it is new."""
    new = asdict(worker)
    is_this_one = worker_table.c.name == worker.name
    seen = (
        update(worker_table)
        .where(is_this_one, worker_table.c.pid == worker.pid)
        .values(new | {"seen_at": db_now()})
    )
    with database.writing() as connection:
        is_new = connection.execute(seen).rowcount == 0
        if is_new:
            connection.execute(delete(worker_table).where(is_this_one))
            connection.execute(
                insert(worker_table).values(new | {"started_at": db_now(), "seen_at": db_now()})
            )
    return is_new


def withdraw(database: LedgerDatabase, worker: Announcement) -> None:
    """Forget a worker that stops, unless another has announced itself by its name since."""
    columns = worker_table.c
    with database.writing() as connection:
        connection.execute(delete(worker_table).where(columns.name == worker.name, columns.pid == worker.pid))


def list_workers(database: LedgerDatabase, live_for: timedelta) -> list[KnownWorker]:
    """Return every worker that announced itself in the last hour, by name."""
    columns = worker_table.c
    is_live = columns.seen_at >= db_now(plus=-live_for)
    statement = (
        select(*(getattr(columns, name) for name in _COLUMNS), is_live.label("is_live"))
        .where(columns.seen_at >= db_now(plus=-FORGOTTEN_AFTER))
        .order_by(columns.name)
    )
    with database.reading() as connection:
        return [KnownWorker(**row._mapping) for row in connection.execute(statement)]


def slots_by_queue(database: LedgerDatabase, live_for: timedelta) -> dict[str, int]:
    """Return how many jobs the live workers of each queue can run at once."""
    columns = worker_table.c
    statement = select(columns.queues, columns.concurrency).where(columns.seen_at >= db_now(plus=-live_for))
    slots: dict[str, int] = {}
    with database.reading() as connection:
        for queues, concurrency in connection.execute(statement):
            for queue in queues.split(","):
                slots[queue] = slots.get(queue, 0) + concurrency
    return slots
