"""Translates the errors of the database drivers into sentences that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from jobyard.jobs.database.lock_holder import end_or_name_lock_holder
from jobyard.jobs.errors import CommitUnknownError, LedgerAwayError, LedgerUnavailableError

# The schema of the tables on PostgreSQL: the database may be an application's, with its own `job` or `tag`.
SCHEMA: Final = "jobyard"

MIGRATE: Final = "`jobyard migrate` (in a checkout `make migrate`)"

# PostgreSQL's error codes (its documentation, appendix A).
_UNDEFINED_TABLE: Final = "42P01"
_CONFLICTS: Final = ("40P01", "40001")  # a deadlock, a serialization failure
_INSUFFICIENT_PRIVILEGE: Final = "42501"
_READ_ONLY: Final = "25006"
_DISK_FULL: Final = "53100"
# What libpq and psycopg say of a server that does not answer: errors of connecting have no code. A wrong
# password, database or certificate is none of these.
_AWAY: Final = (
    "Is the server running",
    "timeout expired",
    "failed to resolve host",
    "No route to host",
    "Network is unreachable",
    "server closed the connection unexpectedly",
    "the server has not answered for",  # `ImpatientConnection`
    "the database system is",  # starting up, shutting down, in recovery
    "too many clients",
    "remaining connection slots",
)


@contextmanager
def explained_errors(engine: Engine, *, is_change: bool = False) -> Iterator[None]:
    """Raise `LedgerUnavailableError`, which says what to do, if the database fails; other errors pass.

    For a change it is `CommitUnknownError` where the connection was lost after it had been opened.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise LedgerUnavailableError(
            f"every connection to the ledger at {_masked_url(engine)} is taken (JOBYARD_LEDGER__POOL_SIZE)"
        ) from error
    except DBAPIError as error:
        explanation = _explain(error, engine)
        if explanation is None:
            raise
        if is_change and error.connection_invalidated:
            raise CommitUnknownError(explanation) from error
        kind = LedgerAwayError if _is_away(error, engine) else LedgerUnavailableError
        raise kind(explanation) from error


@contextmanager
def sqlalchemy_errors(engine: Engine) -> Iterator[None]:
    """Raise SQLAlchemy's errors for the driver's, without parameters, which may be private payloads."""
    driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
    try:
        yield
    except driver_error as error:
        raise DBAPIError.instance(None, None, error, driver_error, dialect=engine.dialect) from error


def lost_connection(
    engine: Engine, connection: PoolProxiedConnection, error: BaseException
) -> BaseException | None:
    """Return SQLAlchemy's error for a driver's error after which the connection is lost, or else None."""
    driver_error: Any = engine.dialect.loaded_dbapi.Error
    is_lost = isinstance(error, driver_error) and engine.dialect.is_disconnect(
        error, connection.driver_connection, None
    )
    if not is_lost:
        return None
    return DBAPIError.instance(
        None, None, error, driver_error, connection_invalidated=True, dialect=engine.dialect
    )


def _masked_url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _is_away(error: DBAPIError, engine: Engine) -> bool:
    is_connecting = engine.dialect.name != "sqlite" and getattr(error.orig, "sqlstate", None) is None
    return is_connecting and any(words in str(error.orig) for words in _AWAY)


def _explain(error: DBAPIError, engine: Engine) -> str | None:
    message = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
    state = getattr(error.orig, "sqlstate", None)
    where = _masked_url(engine)
    if state == _UNDEFINED_TABLE or "no such table" in message:
        return f"the ledger at {where} has no tables yet: run {MIGRATE} ({message})"
    if state in _CONFLICTS:
        return f"two changes of the ledger at {where} conflicted: try again ({message})"
    if "cached plan must not change" in message:
        return f"the tables of the ledger at {where} were changed meanwhile: try again ({message})"
    if state == _INSUFFICIENT_PRIVILEGE:
        return (
            f"a right is missing in the ledger at {where}: make its user the owner of the schema {SCHEMA!r} "
            f"({message})"
        )
    if state == _READ_ONLY or "readonly database" in message:
        return f"the ledger at {where} can only be read: a standby, or a file without rights? ({message})"
    if state == _DISK_FULL or "disk is full" in message:
        return f"the disk of the ledger at {where} is full: make room; nothing was written ({message})"
    if "not a database" in message:
        return (
            f"{where} is no SQLite database: move that file away, or name another one (JOBYARD_LEDGER__URL)"
        )
    if "database is locked" in message and (holder := end_or_name_lock_holder(engine.url.database or "")):
        return f"the ledger at {where} cannot be used: {message}; {holder} (JOBYARD_LEDGER__URL)"
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return f"there is no ledger at {where}: {MIGRATE} creates one (JOBYARD_HOME, JOBYARD_LEDGER__URL)"
    if isinstance(error, (OperationalError, InterfaceError)):
        return f"the ledger at {where} cannot be used: {message} (JOBYARD_LEDGER__URL)"
    return None
