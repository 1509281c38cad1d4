"""The connection to the ledger's database: engines, pragmas, and one way to open a transaction."""

import select
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError

from jobyard.jobs.database.faults import SCHEMA, errors_of_sqlalchemy, named_faults
from jobyard.jobs.database.fork_gate import close_at_fork, inside_gate
from jobyard.jobs.database.sqlite_write_lock import own_turn, take_turns
from jobyard.jobs.database.write_connections import (
    PATIENCE,
    Outlives,
    Writers,
    have_writers,
    take_write_lock,
    writers_of,
)
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.settings import Settings, get_settings

_READS = "jobyard_reads"


def make_engine(settings: Settings) -> Engine:
    """Return an engine for the ledger's URL; it connects at first use."""
    url = make_url(settings.ledger_url)
    engine = (
        _on_sqlite(url, settings) if url.get_backend_name() == "sqlite" else _on_postgresql(url, settings)
    )
    close_at_fork(engine)
    return engine


def _on_sqlite(url: URL, settings: Settings) -> Engine:
    patience = settings.ledger.busy_timeout.total_seconds()
    engine = _sqlite_engine(url, patience)
    on_disk, in_memory = _sqlite_engine(url, patience), _sqlite_engine(url, patience)
    event.listen(in_memory, "connect", _leave_the_disk_for_later)
    for writer in (on_disk, in_memory):
        event.listen(writer, "connect", _wait_by_steps_of_ours)
    have_writers(engine, Writers(on_disk, {Outlives.POWER: on_disk, Outlives.WORKERS: in_memory}))
    take_turns(engine)
    return engine


def _sqlite_engine(url: URL, patience_seconds: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": patience_seconds})
    event.listen(engine, "do_connect", _make_no_file)
    event.listen(engine, "connect", partial(_prepare_sqlite, patience_seconds=patience_seconds))
    event.listen(engine, "begin", _begin_immediate)
    event.listen(engine, "invalidate", _give_back_the_lock)
    return engine


def _on_postgresql(url: URL, settings: Settings) -> Engine:
    engine = _postgresql_engine(url, settings, plan_cache_mode="force_custom_plan")
    # With a condition for one id, the plan that is kept is to look that up, however small the table was.
    kept = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
    statements = _postgresql_engine(url, settings, **kept)
    event.listen(statements, "connect", _commit_at_once)
    have_writers(engine, Writers(engine, dict.fromkeys(Outlives, statements)))
    return engine


def _postgresql_engine(url: URL, settings: Settings, **options: str) -> Engine:
    patience = settings.ledger.timeout.total_seconds()
    engine = create_engine(
        url,
        pool_size=settings.ledger.pool_size,
        pool_timeout=patience,
        connect_args=_postgresql_options(patience, options),
    )
    event.listen(engine, "checkout", _refuse_what_has_ended)
    return engine


def _postgresql_options(patience_seconds: float, more: Mapping[str, str]) -> dict[str, Any]:
    # A server that is gone without a word: noticed by the network (keepalives, unanswered data), a
    # statement that takes too long by the server itself.
    patience_millis = round(patience_seconds * 1000)
    options = {"search_path": SCHEMA, "statement_timeout": patience_millis, **more}
    return {
        "connect_timeout": max(2, round(patience_seconds)),
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": patience_millis,
    }


def _refuse_what_has_ended(connection: Any, _record: Any, _proxy: Any) -> None:
    # A server has nothing to say to an idle connection but that it ends; then the pool opens another. To ask
    # it each time (`pool_pre_ping`) is a round trip.
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if idle.poll(0):
        raise DisconnectionError


def make_sqlite_file(engine: Engine) -> None:
    """Make the file of an SQLite ledger, and its folder, where they are not there yet."""
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path:
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


def _prepare_sqlite(connection: Any, record: Any, *, patience_seconds: float) -> None:
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


def _commit_at_once(connection: Any, _record: Any) -> None:
    connection.autocommit = True


def _begin_immediate(connection: Connection) -> None:
    if connection.get_execution_options().get(_READS):
        return  # single queries see a consistent state as they are, and wait for nobody
    # A deferred transaction that reads first and writes then fails at once when another has written
    # in between, whatever the busy timeout says; taking the write lock first makes it wait its turn.
    driver: Any = connection.connection.driver_connection
    with errors_of_sqlalchemy(connection.engine):
        take_write_lock(driver, connection.connection.info[PATIENCE])


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that is on disk at the end of the block; raises `LedgerUnavailableError`."""
    transactions = writers_of(engine).transactions
    with inside_gate(), named_faults(engine), own_turn(engine), transactions.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection for single queries, which waits for no writer; raises `LedgerUnavailableError`."""
    with inside_gate(), named_faults(engine), engine.connect() as connection:
        yield connection.execution_options(**{_READS: True})


@cache
def get_engine() -> Engine:
    """Return this process's engine."""
    return make_engine(get_settings())
