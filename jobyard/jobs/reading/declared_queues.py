"""The declared queues in the ledger, through which each process knows the queues of the others."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import declared_queue as queue_table
from jobyard.jobs.database.upsert import insert_or
from jobyard.settings.queues import Queue, QueueKind

# How often a queue is noted as still in use: seldom enough to cost nothing, and often enough for pruning.
SEEN_AGAIN_AFTER: Final = timedelta(days=1)


def declare_queues(database: LedgerDatabase, queues: Mapping[str, Queue]) -> None:
    """Store these queues as they are now; other rows stay, for the processes that know those queues."""
    is_fresh = (queue_table.c.seen_at > db_now(plus=-SEEN_AGAIN_AFTER)).label("is_fresh")
    with database.reading() as connection:
        rows = connection.execute(
            select(queue_table.c.name, queue_table.c.purpose, queue_table.c.kind, is_fresh)
        )
        fresh = {_queue(row) for row in rows if row.is_fresh}
    changed = sorted(set(queues.values()) - fresh, key=lambda queue: queue.name)
    if not changed:
        return
    with database.writing() as connection:
        for queue in changed:
            values = {"purpose": queue.purpose, "kind": queue.kind.value, "seen_at": db_now()}
            insert = insert_or(connection.dialect.name, queue_table).values(name=queue.name, **values)
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=values))


def known_queues(database: LedgerDatabase) -> dict[str, Queue]:
    """Return every queue that the ledger knows, by name."""
    statement = select(queue_table.c.name, queue_table.c.purpose, queue_table.c.kind).order_by(
        queue_table.c.name
    )
    with database.reading() as connection:
        return {row.name: _queue(row) for row in connection.execute(statement)}


def _queue(row: Any) -> Queue:
    return Queue(row.name, row.purpose, QueueKind(row.kind))
