"""`jobyard migrate`: brings the ledger's database to the schema of `jobyard/jobs/database/schema.py`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any, cast

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.schema import CreateSchema

from jobyard.jobs.database.driver_errors import SCHEMA, explained_errors
from jobyard.jobs.database.fork_gate import inside_gate
from jobyard.jobs.database.ledger_database import LedgerDatabase, open_database
from jobyard.jobs.database.schema_version import check_server, version_of
from jobyard.jobs.database.sqlite import make_sqlite_file
from jobyard.jobs.errors import JobyardError
from jobyard.settings import SettingsError, get_settings

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
# The key of the advisory lock that a migration holds: any number that no other program uses.
_ADVISORY_LOCK_KEY = 4_626_182
_PAUSE_SECONDS = 0.2  # between two tries for the lock
_LOCK_TIMEOUT_SECONDS = 5


def migrate(database: LedgerDatabase) -> str:
    """Run the migrations that the database has not had; return its version."""
    make_sqlite_file(database.url)
    with inside_gate(), explained_errors(database.engine), database.engine.connect() as connection:
        check_server(connection)
        # Check first: a user without the right to create schemas may use one that was created for it.
        if database.dialect == "postgresql" and not inspect(connection).has_schema(SCHEMA):
            connection.execute(CreateSchema(SCHEMA))
            connection.commit()
        with _migration_lock(connection):
            command.upgrade(_config(connection), "head")
            connection.commit()
            return version_of(connection) or ""


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    if connection.dialect.name != "postgresql":
        yield  # SQLite has one writer at a time
        return
    # Poll for the lock: CREATE INDEX CONCURRENTLY waits for every open statement, and a statement that waits
    # for this lock would be one.
    while not connection.execute(select(func.pg_try_advisory_lock(_ADVISORY_LOCK_KEY))).scalar_one():
        connection.commit()
        sleep(_PAUSE_SECONDS)
    # A migration may take as long as it needs.
    connection.execute(text("SET statement_timeout = 0"))
    cast(Any, connection.connection.driver_connection).longest_wait_seconds = None
    # A change that waits for a table's lock holds up every statement behind it: failing and retrying is
    # better.
    connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT_SECONDS}s'"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.invalidate()  # its settings and its lock end with it


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def main() -> None:
    try:
        print(f"the ledger has version {migrate(open_database(get_settings()))}")
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
