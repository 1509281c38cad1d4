"""Checks whether the ledger's database has the schema that this code expects, when a process starts.

A server that is away is waited for, as a broker is; what does not mend itself is raised.

The check does without Alembic, whose import takes longer than the check itself;
`jobyard/jobs/database/migrate.py` runs the migrations.
"""

from time import sleep
from typing import Final

import structlog
from sqlalchemy import Connection, column, inspect, select, table

from jobyard.jobs.database.driver_errors import MIGRATE
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerAwayError, LedgerUnavailableError

log = structlog.get_logger()

EXPECTED_VERSION: Final = "0012"  # the newest of jobyard/jobs/migrations/versions/
# SQLite 3.35 brought RETURNING and MATERIALIZED.
OLDEST_SERVER: Final[dict[str, tuple[int, ...]]] = {"postgresql": (14,), "sqlite": (3, 35)}
# The pause between two tries to reach a server that is away.
RETRY_SECONDS: Final = 1.0
_ALEMBIC_VERSION: Final = table("alembic_version", column("version_num"))


def wait_until_migrated(database: LedgerDatabase) -> None:
    """Do as `check_is_migrated`, but wait for a server that is away, and log once that this is so."""
    is_first = True
    while True:
        try:
            return check_is_migrated(database)
        except LedgerAwayError as error:
            if is_first:
                log.warning("ledger is away, waiting for it", reason=str(error))
            is_first = False
        sleep(RETRY_SECONDS)


def check_is_migrated(database: LedgerDatabase) -> None:
    """Raise `LedgerUnavailableError` unless the database has the schema that the code expects."""
    if database.is_in_memory:
        return  # this code has made its tables
    with database.reading() as connection:
        _check_schema(connection)


def check_takes_writes(database: LedgerDatabase) -> None:
    """Raise `LedgerUnavailableError` unless the database has the expected schema and takes writes now."""
    with database.writing() as connection:
        _check_schema(connection)


def _check_schema(connection: Connection) -> None:
    check_server(connection)
    found = version_of(connection)
    if found != EXPECTED_VERSION:
        where = connection.engine.url.render_as_string()
        raise LedgerUnavailableError(
            f"the ledger at {where} has version {found}, this code needs {EXPECTED_VERSION}: "
            f"run {MIGRATE}, or use the version of Jobyard that made it"
        )


def check_server(connection: Connection) -> None:
    """Raise `LedgerUnavailableError` for a database server that is too old."""
    name, found = connection.dialect.name, connection.dialect.server_version_info or ()
    if found < OLDEST_SERVER[name]:
        have, need = (".".join(map(str, version)) for version in (found, OLDEST_SERVER[name]))
        where = connection.engine.url.render_as_string()
        raise LedgerUnavailableError(f"the ledger at {where} is {name} {have}: Jobyard needs {need} or newer")


def version_of(connection: Connection) -> str | None:
    """Return the newest migration that the database has had, or None if it has had none."""
    if not inspect(connection).has_table(_ALEMBIC_VERSION.name):
        return None
    return connection.execute(select(_ALEMBIC_VERSION.c.version_num)).scalar_one_or_none()
