"""Whether the ledger's database has the shape that this code expects: what every process asks when it starts.

Without Alembic, whose import takes longer than the answer; `jobyard/jobs/database/migrate.py` brings a
database there.
"""

from typing import Final

from sqlalchemy import Connection, column, inspect, select, table

from jobyard.jobs.database.faults import MIGRATE
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerUnavailableError

WANTED: Final = "0007"  # the newest of jobyard/jobs/migrations/versions/
# SQLite since it knows RETURNING and MATERIALIZED.
OLDEST_SERVER: Final[dict[str, tuple[int, ...]]] = {"postgresql": (14,), "sqlite": (3, 35)}
_ALEMBICS: Final = table("alembic_version", column("version_num"))


def check_is_migrated(database: LedgerDatabase) -> None:
    """Raise `LedgerUnavailableError` unless the database has the shape that the code expects."""
    with database.reading() as connection:
        _check_shape(connection)


def check_takes_writes(database: LedgerDatabase) -> None:
    """Raise `LedgerUnavailableError` unless the database has the right shape and can be written now."""
    with database.writing() as connection:
        _check_shape(connection)


def _check_shape(connection: Connection) -> None:
    check_server(connection)
    found = version_of(connection)
    if found != WANTED:
        where = connection.engine.url.render_as_string()
        raise LedgerUnavailableError(
            f"the ledger at {where} has version {found}, this code needs {WANTED}: "
            f"run {MIGRATE}, or use the Jobyard that made it"
        )


def check_server(connection: Connection) -> None:
    """Raise `LedgerUnavailableError` for a database server that is too old."""
    name, found = connection.dialect.name, connection.dialect.server_version_info or ()
    if found < OLDEST_SERVER[name]:
        have, need = (".".join(map(str, version)) for version in (found, OLDEST_SERVER[name]))
        where = connection.engine.url.render_as_string()
        raise LedgerUnavailableError(f"the ledger at {where} is {name} {have}: Jobyard needs {need} or newer")


def version_of(connection: Connection) -> str | None:
    """Return the newest migration that the database has seen, or None where it has seen none."""
    if not inspect(connection).has_table(_ALEMBICS.name):
        return None
    return connection.execute(select(_ALEMBICS.c.version_num)).scalar_one_or_none()
