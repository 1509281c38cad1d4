"""The ledger's database in one process: it owns the connections and the write lock."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final
from weakref import WeakSet, finalize

from sqlalchemy import URL, Connection, Engine, make_url

from jobyard.jobs.database.driver_errors import explained_errors, lost_connection, sqlalchemy_errors
from jobyard.jobs.database.engines import READ_ONLY, Engines
from jobyard.jobs.database.fork_gate import close_at_fork, inside_gate
from jobyard.jobs.database.postgresql import postgresql_engines
from jobyard.jobs.database.sqlite import sqlite_engines
from jobyard.jobs.database.statement import CommittedStatement, StatementResult
from jobyard.settings import ENV_PREFIX, Settings, get_settings
from jobyard.settings.extras import check_extra
from jobyard.settings.locked_cache import locked_cache

POSTGRESQL: Final = "postgresql"
SQLITE: Final = "sqlite"


class LedgerDatabase:
    """Reads, writes, and commits single statements; raises `LedgerUnavailableError` if the database fails.

    Connections are opened at first use. SQLAlchemy's errors about wrong values pass through. After a
    `CommitUnknownError` a change may have been made, or may yet be made by the server.
    """

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.dialect: str = engines.reader.dialect.name
        # SQLite has one writer, and other writers poll for its lock with ever longer pauses. The threads of
        # one process wait for this lock first, whose release wakes the next thread at once. A plain lock:
        # `Lock.__enter__` is not Python code, so no interruption inside it can leave the lock held.
        self._write_lock: AbstractContextManager[Any] = nullcontext()
        self.renew_write_lock()
        close_at_fork(self)
        _opened.add(self)

    @property
    def engine(self) -> Engine:
        """The engine for reading, for migrations, and for tests that need plain SQLAlchemy."""
        return self.engines.reader

    @property
    def url(self) -> URL:
        return self.engines.reader.url

    @property
    def is_in_memory(self) -> bool:
        """Tell whether it is gone with this process."""
        return self.dialect == SQLITE and not self.url.database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for single queries, which wait for no writer."""
        with inside_gate(), explained_errors(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(**{READ_ONLY: True})

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is committed to disk at the end of the block."""
        transactions = self.engines.transactions
        with (
            inside_gate(),
            explained_errors(self.engine, is_change=True),
            self._write_lock,
            transactions.begin() as connection,
        ):
            yield connection

    def run(self, statement: CommittedStatement, parameters: Mapping[str, Any]) -> StatementResult:
        """Run one statement in a transaction of its own, and commit it.

        If this raises, nothing has changed, unless it is `CommitUnknownError` or the caller was interrupted
        during the commit itself.
        """
        engine = self.engines.statements[statement.durability]
        with (
            inside_gate(),
            explained_errors(self.engine, is_change=True),
            self._write_lock,
            sqlalchemy_errors(engine),
        ):
            connection = engine.raw_connection()
            try:
                result = statement.run(connection, engine.dialect, parameters)
            except BaseException as error:
                lost = lost_connection(engine, connection, error)
                # The statement may have been interrupted anywhere: closing the connection rolls it back.
                connection.invalidate()
                if lost is not None:
                    raise lost from error
                raise
            connection.close()
            return result

    def open_dedicated_connection(self) -> Any:
        """Return a driver connection outside the pool, for a long wait; the caller closes it."""
        # Made by the pool and then detached from it; after a fork the driver leaves it alone in the child.
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
        """Replace the write lock, as after a fork: the thread that may have held it is not in the child."""
        if self.dialect == SQLITE:
            self._write_lock = threading.Lock()


_opened: WeakSet[LedgerDatabase] = WeakSet()


def _renew_write_locks() -> None:
    for database in _opened:
        database.renew_write_lock()


os.register_at_fork(after_in_child=_renew_write_locks)


def open_database(settings: Settings) -> LedgerDatabase:
    """Return the database of the ledger's URL, which connects at first use; raises `SettingsError`."""
    url = make_url(settings.ledger_url)
    if url.get_backend_name() == SQLITE:
        return LedgerDatabase(sqlite_engines(url, settings.ledger))
    check_extra(f"{ENV_PREFIX}LEDGER__URL", "postgresql")
    return LedgerDatabase(postgresql_engines(url, settings.ledger))


def memory_database() -> LedgerDatabase:
    """Return a new, empty ledger in memory, which lives as long as its object does."""
    # Imported here, because hardly a process needs it.
    from jobyard.jobs.database.memory import memory_engines

    engines, free = memory_engines()
    database = LedgerDatabase(engines)
    finalize(database, free)
    return database


@locked_cache
def get_database() -> LedgerDatabase:
    """Return this process's database, which is in memory where jobs run where they are handed in."""
    settings = get_settings()
    return memory_database() if settings.tasks.eager else open_database(settings)
