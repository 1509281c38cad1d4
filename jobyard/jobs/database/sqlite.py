"""The ledger in a file of SQLite: its engines, and how they wait for each other.

Writers of other processes are waited for by steps of our own. SQLite's (1, 2, 5, 10, 15, 20 ... milliseconds)
are longer than most of our transactions, so one busy process would starve the others.
"""

import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.engines import READS, Engines, Outlives
from jobyard.jobs.database.faults import errors_of_sqlalchemy
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.settings.sections import LedgerSettings

# Under which name a connection notes for how many seconds it waits for other writers.
PATIENCE: Final = "patience_seconds"
# Pauses between two tries for the write lock: from a fifth of our shortest transaction to about our longest.
FIRST_PAUSE_SECONDS: Final = 0.0001
LONGEST_PAUSE_SECONDS: Final = 0.002
PAUSES_GROW: Final = 1.25
PRIMARY_CODE: Final = 0xFF  # of SQLite's extended codes, which say how it is busy


def sqlite_engines(url: URL, settings: LedgerSettings) -> Engines:
    """Return the engines of a file; none of them makes it."""
    patience = settings.busy_timeout.total_seconds()
    reader, on_disk, in_memory = (_engine(url, patience) for _ in range(3))
    event.listen(in_memory, "connect", _leave_the_disk_for_later)
    for writer in (on_disk, in_memory):
        event.listen(writer, "connect", _wait_by_steps_of_ours)
    return Engines(reader, on_disk, {Outlives.POWER: on_disk, Outlives.WORKERS: in_memory})


def _engine(url: URL, patience_seconds: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": patience_seconds})
    event.listen(engine, "do_connect", _make_no_file)
    event.listen(engine, "connect", partial(_prepare, patience_seconds=patience_seconds))
    event.listen(engine, "begin", _begin_immediate)
    event.listen(engine, "invalidate", _give_back_the_lock)
    return engine


def make_sqlite_file(url: URL) -> None:
    """Make the file of an SQLite ledger, and its folder, where they are not there yet."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path:
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    except OSError as error:
        raise LedgerUnavailableError(
            f"the ledger {path} cannot be made: {error.strerror} (JOBYARD_HOME, JOBYARD_LEDGER__URL)"
        ) from error


def _make_no_file(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    # Only a migration makes a ledger: a program with a wrong JOBYARD_HOME would find an empty one.
    arguments[0] = f"{Path(arguments[0]).absolute().as_uri()}?mode=rw"
    options["uri"] = True


def _prepare(connection: Any, record: Any, *, patience_seconds: float) -> None:
    # The driver's own BEGIN would be a deferred one, see `_begin_immediate`.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit that was answered with 202 outlives a power cut, not only a crash.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    record.info[PATIENCE] = patience_seconds


def _leave_the_disk_for_later(connection: Any, _record: Any) -> None:
    # The next commit that waits for the disk takes along what was written before it, in the order it was. And
    # who waits for it may move the log into the database, too.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _give_back_the_lock(connection: Any, _record: Any, _error: Any) -> None:
    # Whoever was interrupted, wherever it was. To close it would not be enough: a traceback that somebody
    # keeps has a cursor, and with that SQLite's lock.
    with suppress(sqlite3.Error):
        connection.rollback()


def _wait_by_steps_of_ours(connection: Any, _record: Any) -> None:
    # Only now: to connect may be to wait for a process that ends, and has the file to itself for that.
    connection.execute("PRAGMA busy_timeout = 0")


def _begin_immediate(connection: Connection) -> None:
    if connection.get_execution_options().get(READS):
        return  # single queries see a consistent state as they are, and wait for nobody
    # A deferred transaction that reads first and writes then fails at once when another has written
    # in between, whatever the busy timeout says; taking the write lock first makes it wait its turn.
    driver: Any = connection.connection.driver_connection
    with errors_of_sqlalchemy(connection.engine):
        take_write_lock(driver, connection.connection.info[PATIENCE])


def take_write_lock(connection: sqlite3.Connection, patience_seconds: float) -> None:
    """Begin a transaction that may write, on a connection whose own busy timeout is nothing.

    Raises the driver's error where others write all that time.
    """
    until, pause = monotonic() + patience_seconds, FIRST_PAUSE_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or monotonic() >= until:
                raise
        else:
            return
        sleep(pause)
        pause = min(pause * PAUSES_GROW, LONGEST_PAUSE_SECONDS)


def _is_busy(error: sqlite3.Error) -> bool:
    code: Any = getattr(error, "sqlite_errorcode", 0)
    return bool(code & PRIMARY_CODE == sqlite3.SQLITE_BUSY)
