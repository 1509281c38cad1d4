"""The ledger's database in one process: the owner of connections, write lock and gate at forks."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, make_url

from jobyard.jobs.database.engines import READS, Engines
from jobyard.jobs.database.faults import errors_of_sqlalchemy, named_faults
from jobyard.jobs.database.fork_gate import close_at_fork, inside_gate
from jobyard.jobs.database.postgresql import postgresql_engines
from jobyard.jobs.database.sqlite import sqlite_engines
from jobyard.jobs.database.statement import CommittedStatement, Done
from jobyard.settings import Settings, get_settings

POSTGRESQL: Final = "postgresql"
SQLITE: Final = "sqlite"


class LedgerDatabase:
    """Reads, writes, and commits single statements; raises `LedgerUnavailableError` for what cannot be done.

    Connections are opened at first use. SQLAlchemy's errors for wrong values pass.
    """

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.dialect: str = engines.reader.dialect.name
        # SQLite has one writer, and lets others look again after ever longer pauses. Threads of one process
        # can be woken instead, so they wait for each other here first. A plain lock, because an attempt that
        # is interrupted must not go away with it: `Lock.__enter__` is not Python code.
        self._write_lock: AbstractContextManager[Any] = nullcontext()
        self.renew_write_lock()
        close_at_fork(self)
        _opened.add(self)

    @property
    def engine(self) -> Engine:
        """The engine for reading, for migrations, and for tests that look past this class."""
        return self.engines.reader

    @property
    def url(self) -> URL:
        return self.engines.reader.url

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for single queries, which waits for no writer."""
        with inside_gate(), named_faults(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(**{READS: True})

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is on disk at the end of the block."""
        transactions = self.engines.transactions
        with inside_gate(), named_faults(self.engine), self._write_lock, transactions.begin() as connection:
            yield connection

    def run(self, statement: CommittedStatement, parameters: Mapping[str, Any]) -> Done:
        """Commit one statement by itself.

        Nothing has changed where this raises, unless the connection broke, or the caller was interrupted,
        during the commit itself.
        """
        engine = self.engines.statements[statement.outlives]
        with inside_gate(), named_faults(self.engine), self._write_lock, errors_of_sqlalchemy(self.engine):
            connection = engine.raw_connection()
            try:
                done = statement.run(connection, engine.dialect, parameters)
            except BaseException:
                # Wherever it was interrupted: what was not committed goes with the connection.
                connection.invalidate()
                raise
            connection.close()
            return done

    def connection_apart(self) -> Any:
        """Return a connection of the driver's own, which is the caller's to close: for what waits on it."""
        # One of the pool's making, but not of the pool: a driver leaves it alone in a child that is forked.
        with inside_gate():
            pooled = self.engine.raw_connection()
            connection = pooled.driver_connection
            pooled.detach()
        return connection

    @property
    def driver_error(self) -> type[Exception]:
        """The base of the driver's errors (PEP 249)."""
        error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        return error

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        for engine in self.engines.all():
            engine.dispose()

    def renew_write_lock(self) -> None:
        """Make the write lock anew, as after a fork: the thread that may have held it is not in the child."""
        if self.dialect == SQLITE:
            self._write_lock = threading.Lock()


_opened: WeakSet[LedgerDatabase] = WeakSet()


def _renew_write_locks() -> None:
    for database in _opened:
        database.renew_write_lock()


os.register_at_fork(after_in_child=_renew_write_locks)


def open_database(settings: Settings) -> LedgerDatabase:
    """Return the database of the ledger's URL; it connects at first use."""
    url = make_url(settings.ledger_url)
    make_engines = sqlite_engines if url.get_backend_name() == SQLITE else postgresql_engines
    return LedgerDatabase(make_engines(url, settings.ledger))


@cache
def get_database() -> LedgerDatabase:
    """Return this process's database."""
    return open_database(get_settings())
