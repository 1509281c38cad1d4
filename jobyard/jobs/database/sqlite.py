"""The ledger in an SQLite file: its engines, and how they wait for the writers of other processes.

SQLite's busy handler sleeps 1, 2, 5, 10, 15, 20 ... milliseconds between two tries, longer than most of our
transactions, so one busy process would starve the others. We try again after 0.1 to 2 ms instead.
"""

import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.driver_errors import sqlalchemy_errors
from jobyard.jobs.database.engines import READ_ONLY, Durability, Engines
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.settings.private_files import make_private_file
from jobyard.settings.sections import LedgerSettings

# The key in a connection's `info` under which it keeps how many seconds it waits for other writers.
WRITE_TIMEOUT: Final = "write_timeout_seconds"
# Pauses between two tries for the write lock: from a fifth of our shortest transaction to about our longest.
FIRST_PAUSE_SECONDS: Final = 0.0001
LONGEST_PAUSE_SECONDS: Final = 0.002
PAUSE_GROWTH: Final = 1.25
PRIMARY_CODE: Final = 0xFF  # the mask for the primary code in SQLite's extended error codes


def sqlite_engines(url: URL, settings: LedgerSettings) -> Engines:
    """Return the engines of an SQLite file; none of them creates the file."""
    timeout_seconds = settings.busy_timeout.total_seconds()
    reader, on_disk, in_memory = (_engine(url, timeout_seconds) for _ in range(3))
    event.listen(in_memory, "connect", _do_not_sync)
    for writer in (on_disk, in_memory):
        event.listen(writer, "connect", _disable_busy_handler)
    return Engines(reader, on_disk, {Durability.FULL: on_disk, Durability.UNTIL_POWER_CUT: in_memory})


def _engine(url: URL, timeout_seconds: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": timeout_seconds})
    event.listen(engine, "do_connect", _create_no_file)
    event.listen(engine, "connect", partial(prepare, timeout_seconds=timeout_seconds))
    event.listen(engine, "begin", begin_immediate)
    event.listen(engine, "invalidate", _release_lock)
    return engine


def make_sqlite_file(url: URL) -> None:
    """Create the file of an SQLite ledger, and its folder, if they are missing."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path:
        return
    try:
        make_private_file(Path(path))
    except OSError as error:
        raise LedgerUnavailableError(
            f"the ledger {path} cannot be created: {error.strerror} (JOBYARD_HOME, JOBYARD_LEDGER__URL)"
        ) from error


def _create_no_file(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    # Only a migration creates a ledger: a program with a wrong JOBYARD_HOME must not get an empty one.
    arguments[0] = f"{Path(arguments[0]).absolute().as_uri()}?mode=rw"
    options["uri"] = True


def prepare(connection: Any, record: Any, *, timeout_seconds: float) -> None:
    """Set up a new connection, as a listener of `connect`."""
    # The driver's own BEGIN would be a deferred one: see `begin_immediate`.
    connection.isolation_level = None
    # The first connection to a file in another mode (a backup that was restored) switches it. SQLite refuses
    # others that try at the same moment at once, without its busy handler.
    execute_when_free(connection, "PRAGMA journal_mode = WAL", timeout_seconds)
    # FULL: a commit that was answered with 202 survives a power cut, and not only a crash.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.create_function("lower", 1, _lower, deterministic=True)
    record.info[WRITE_TIMEOUT] = timeout_seconds


def _lower(text: str | None) -> str | None:
    # SQLite's own knows ASCII alone. Letter by letter, as PostgreSQL does: Python's `lower` of a whole text
    # writes a sigma at the end of a word as another letter.
    if text is None or text.isascii():
        return text and text.lower()
    return "".join(letter.lower()[0] for letter in text)


def _do_not_sync(connection: Any, _record: Any) -> None:
    # The next commit that waits for the disk also syncs what was written to the log before it, in order. The
    # connections that wait for the disk do the checkpoints, too.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _release_lock(connection: Any, _record: Any, _error: Any) -> None:
    # The thread that used this connection may have been interrupted anywhere. Closing is not enough: a kept
    # traceback may refer to a cursor, which keeps SQLite's lock.
    with suppress(sqlite3.Error):
        connection.rollback()


def _disable_busy_handler(connection: Any, _record: Any) -> None:
    # Not before the connection is open: a process that is ending may have the file locked while it closes it,
    # and connecting has to wait for that.
    connection.execute("PRAGMA busy_timeout = 0")


def begin_immediate(connection: Connection) -> None:
    """Begin a transaction that may write, as a listener of `begin`."""
    if connection.get_execution_options().get(READ_ONLY):
        return  # a single query sees a consistent state without a transaction, and waits for no writer
    # A deferred transaction that reads and then writes fails at once if another one has written in between,
    # whatever the busy timeout; a transaction that takes the write lock first waits for it.
    driver: Any = connection.connection.driver_connection
    with sqlalchemy_errors(connection.engine):
        take_write_lock(driver, connection.connection.info[WRITE_TIMEOUT])


def take_write_lock(connection: sqlite3.Connection, timeout_seconds: float) -> None:
    """Begin a transaction that may write, on a connection whose own busy timeout is zero.

    Raises the driver's error if the lock is not free within `timeout_seconds`.
    """
    execute_when_free(connection, "BEGIN IMMEDIATE", timeout_seconds)


def execute_when_free(
    connection: sqlite3.Connection, statement: str, timeout_seconds: float, parameters: Any = ()
) -> sqlite3.Cursor:
    """Execute a statement that takes a lock first; raises the driver's error as `take_write_lock` does."""
    deadline, pause_seconds = monotonic() + timeout_seconds, FIRST_PAUSE_SECONDS
    while True:
        try:
            return connection.execute(statement, parameters)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or monotonic() >= deadline:
                raise
        sleep(pause_seconds)
        pause_seconds = min(pause_seconds * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)


def _is_busy(error: sqlite3.Error) -> bool:
    code: Any = getattr(error, "sqlite_errorcode", 0)
    return bool(code & PRIMARY_CODE == sqlite3.SQLITE_BUSY)
