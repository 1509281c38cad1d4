"""Over which connections the ledger is written; the engine that `make_engine` returns is for reading.

On SQLite a writer waits for its turn by steps of its own. SQLite's (1, 2, 5, 10, 15, 20 ... milliseconds) are
longer than most transactions, and who has written begins again meanwhile. On PostgreSQL transactions of one
statement have connections in autocommit, which keep the plans of statements for one job.
"""

import sqlite3
from collections.abc import Mapping
from enum import Enum, auto
from time import sleep
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.fork_gate import close_at_fork

# Under which name a connection to SQLite notes for how many seconds it waits for other writers.
PATIENCE: Final = "patience_seconds"
_FIRST_PAUSE_SECONDS: Final = 0.0001
_LONGEST_PAUSE_SECONDS: Final = 0.002
_PAUSES_GROW: Final = 1.25
_PRIMARY_CODE: Final = 0xFF  # of SQLite's extended codes, which say how it is busy


class Outlives(Enum):
    """What a commit outlives that was answered."""

    POWER = auto()  # a power cut: it is on disk
    # Every worker. On SQLite all are processes of the ledger's own machine and end with it, so what is about
    # them need not wait for the disk; on PostgreSQL a worker elsewhere would go on (docs/decisions/0022).
    WORKERS = auto()


class Writers(NamedTuple):
    """The engines for what is written: transactions, and those of one statement."""

    transactions: Engine
    statements: Mapping[Outlives, Engine]


_writers: WeakKeyDictionary[Engine, Writers] = WeakKeyDictionary()


def have_writers(engine: Engine, writers: Writers) -> None:
    """Let what is written to the ledger of `engine` go over these connections, which close with its own."""
    _writers[engine] = writers
    for own in {writers.transactions, *writers.statements.values()} - {engine}:
        close_at_fork(own)
        event.listen(engine, "engine_disposed", lambda _, own=own: own.dispose())


def writers_of(engine: Engine) -> Writers:
    """Return the engines for what is written to the ledger of `engine`."""
    return _writers[engine]


def take_write_lock(connection: sqlite3.Connection, patience_seconds: float) -> None:
    """Begin a transaction that may write, on a connection whose own busy timeout is nothing.

    Raises the driver's error where others write all that time.
    """
    until, pause = monotonic() + patience_seconds, _FIRST_PAUSE_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or monotonic() >= until:
                raise
        else:
            return
        sleep(pause)
        pause = min(pause * _PAUSES_GROW, _LONGEST_PAUSE_SECONDS)


def _is_busy(error: sqlite3.Error) -> bool:
    code: Any = getattr(error, "sqlite_errorcode", 0)
    return bool(code & _PRIMARY_CODE == sqlite3.SQLITE_BUSY)
