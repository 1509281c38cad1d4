"""Counts the faults that Jobyard survives without harm: late results, unreadable messages, lost threads.

The counts are in the ledger, because they come from many processes, most of which serve no HTTP. Faults are
rare, so the cost of the write does not matter.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog
from sqlalchemy import Connection, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import fault as fault_table
from jobyard.jobs.database.upsert import insert_or
from jobyard.jobs.errors import LedgerUnavailableError

log = structlog.get_logger()


class FaultKind(StrEnum):
    """The kinds of faults that are counted."""

    LATE_RESULT = "late_result"  # a superseded attempt tried to write its outcome
    BAD_MESSAGE = "bad_message"  # a message cannot be read, or names no job
    UNKNOWN_TASK = "unknown_task"  # a worker fetched a message for a task that it does not know
    OTHER_VERSION = (
        "other_version"  # a worker could not read the payload of a job, which then waits for another
    )
    FOREIGN_MESSAGE = "foreign_message"  # a stock Celery message became a dead letter
    THREAD_LEFT_BEHIND = "thread_left_behind"  # a task blocked its thread past its hard limit
    LOST_WORKER = "lost_worker"  # a job was taken back from a worker that no longer renewed its lease


@dataclass(frozen=True, slots=True)
class FaultCount:
    """How often a kind of fault has happened since the ledger was created, and when it happened last."""

    what: FaultKind
    times: int
    last_at: datetime


def count_fault(connection: Connection, kind: FaultKind, times: int = 1) -> None:
    """Count faults in the transaction that has found them."""
    if times <= 0:
        return
    new = {"what": kind, "times": times, "last_at": db_now()}
    more = {"times": fault_table.c.times + times, "last_at": db_now()}
    statement = insert_or(connection.dialect.name, fault_table).values(new)
    connection.execute(statement.on_conflict_do_update(index_elements=["what"], set_=more))


def count_fault_and_commit(database: LedgerDatabase, kind: FaultKind, times: int = 1) -> None:
    """Count faults in a transaction of their own, or not at all if the ledger is out of reach."""
    try:
        with database.writing() as connection:
            count_fault(connection, kind, times)
    except LedgerUnavailableError as error:
        log.warning("fault not counted", what=kind, reason=str(error))


def fault_counts(database: LedgerDatabase) -> list[FaultCount]:
    """Return the counts of all faults that ever happened, by name."""
    columns = fault_table.c
    statement = select(columns.what, columns.times, columns.last_at).order_by(columns.what)
    with database.reading() as connection:
        return [FaultCount(FaultKind(what), *rest) for what, *rest in connection.execute(statement)]
