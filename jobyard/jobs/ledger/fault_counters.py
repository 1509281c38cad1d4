"""Counts of what should not happen and does no harm here: late results, unreadable messages, lost threads.

They stand in the ledger, because they come from many processes and most of those have no door of their own.
Each is rare, so the write is no cost that matters.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog
from sqlalchemy import Connection, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import tally as table
from jobyard.jobs.database.upsert import insert_or
from jobyard.jobs.errors import LedgerUnavailableError

log = structlog.get_logger()


class Tally(StrEnum):
    """What is counted."""

    LATE_RESULT = "late_result"  # an attempt that was superseded tried to write how it ended
    BAD_MESSAGE = "bad_message"  # a message that cannot be read, or that names no job
    UNKNOWN_TASK = "unknown_task"  # a message for a task that its worker does not know
    THREAD_LEFT_BEHIND = "thread_left_behind"  # a task that blocked past its hard limit
    LOST_WORKER = "lost_worker"  # a job was taken back from a worker that fell silent


@dataclass(frozen=True, slots=True)
class Counted:
    """How often something has happened since the ledger was made, and when last."""

    what: Tally
    times: int
    last_at: datetime


def count(connection: Connection, what: Tally, times: int = 1) -> None:
    """Count in the transaction of what is counted."""
    if times <= 0:
        return
    new = {"what": what, "times": times, "last_at": db_now()}
    more = {"times": table.c.times + times, "last_at": db_now()}
    statement = insert_or(connection.dialect.name, table).values(new)
    connection.execute(statement.on_conflict_do_update(index_elements=["what"], set_=more))


def count_alone(database: LedgerDatabase, what: Tally, times: int = 1) -> None:
    """Count in a transaction of its own, or not at all where the ledger is out of reach."""
    try:
        with database.writing() as connection:
            count(connection, what, times)
    except LedgerUnavailableError as error:
        log.warning("not counted", what=what, reason=str(error))


def all_counted(database: LedgerDatabase) -> list[Counted]:
    """Return what has ever been counted, by name."""
    statement = select(table.c.what, table.c.times, table.c.last_at).order_by(table.c.what)
    with database.reading() as connection:
        return [
            Counted(Tally(what), times, last_at) for what, times, last_at in connection.execute(statement)
        ]
