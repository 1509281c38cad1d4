"""What it means when the ledger's database refuses, in a sentence that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from jobyard.jobs.errors import LedgerUnavailableError

# Of the tables on PostgreSQL: the database may be an application's own, with a `job` or a `tag` of its own.
SCHEMA: Final = "jobyard"

MIGRATE: Final = "`jobyard migrate` (in a checkout `make migrate`)"

# What PostgreSQL says of an error (its documentation, appendix A).
_UNDEFINED_TABLE: Final = "42P01"
_IN_EACH_OTHERS_WAY: Final = ("40P01", "40001")  # a deadlock, a failure to serialize
_INSUFFICIENT_PRIVILEGE: Final = "42501"
_READ_ONLY: Final = "25006"
_DISK_FULL: Final = "53100"


@contextmanager
def named_faults(engine: Engine) -> Iterator[None]:
    """Raise `LedgerUnavailableError`, with what to do, for what the database cannot do; other faults pass."""
    try:
        yield
    except PoolTimeoutError as error:
        raise LedgerUnavailableError(
            f"every connection to the ledger at {_place(engine)} is taken (JOBYARD_LEDGER__POOL_SIZE)"
        ) from error
    except DBAPIError as error:
        words = _explain(error, engine)
        if words is None:
            raise
        raise LedgerUnavailableError(words) from error


@contextmanager
def errors_of_sqlalchemy(engine: Engine) -> Iterator[None]:
    """Raise SQLAlchemy's errors for the driver's, without the parameters, which are people's payloads."""
    its_error: type[Exception] = engine.dialect.loaded_dbapi.Error
    try:
        yield
    except its_error as error:
        raise DBAPIError.instance(None, None, error, its_error, dialect=engine.dialect) from error


def _place(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _explain(error: DBAPIError, engine: Engine) -> str | None:
    words = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
    state = getattr(error.orig, "sqlstate", None)
    where = _place(engine)
    if state == _UNDEFINED_TABLE or "no such table" in words:
        return f"the ledger at {where} has no tables yet: run {MIGRATE} ({words})"
    if state in _IN_EACH_OTHERS_WAY:
        return f"two changes in the ledger at {where} were in each other's way: try again ({words})"
    if "cached plan must not change" in words:
        return f"the tables of the ledger at {where} were changed meanwhile: try again ({words})"
    if state == _INSUFFICIENT_PRIVILEGE:
        return (
            f"the ledger at {where} refuses its user a right: make it the owner of the schema {SCHEMA!r} "
            f"({words})"
        )
    if state == _READ_ONLY or "readonly database" in words:
        return f"the ledger at {where} can only be read: a standby, or a file without rights? ({words})"
    if state == _DISK_FULL or "disk is full" in words:
        return f"the disk of the ledger at {where} is full: make room, nothing was written ({words})"
    if "not a database" in words:
        return f"{where} is no SQLite database: move that file away, or name another (JOBYARD_LEDGER__URL)"
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return f"there is no ledger at {where}: {MIGRATE} makes one (JOBYARD_HOME, JOBYARD_LEDGER__URL)"
    if isinstance(error, (OperationalError, InterfaceError)):
        return f"the ledger at {where} cannot be used: {words} (JOBYARD_LEDGER__URL)"
    return None
