"""Brings the ledger's database to the shape of `jobyard/jobs/database/schema.py`: `jobyard migrate`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.schema import CreateSchema

from jobyard.jobs.database.faults import SCHEMA, named_faults
from jobyard.jobs.database.fork_gate import inside_gate
from jobyard.jobs.database.ledger_database import LedgerDatabase, get_database
from jobyard.jobs.database.schema_version import check_server, version_of
from jobyard.jobs.database.sqlite import make_sqlite_file
from jobyard.jobs.errors import JobyardError
from jobyard.settings import SettingsError

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_LOCK = 4_626_182  # of those who migrate; any number that nobody else uses
_PAUSE_SECONDS = 0.2
_LONGEST_LOCK_SECONDS = 5


def migrate(database: LedgerDatabase) -> str:
    """Run the migrations that the database has not seen; return its version."""
    make_sqlite_file(database.url)
    with inside_gate(), named_faults(database.engine), database.engine.connect() as connection:
        check_server(connection)
        # Asked first: who may not create schemas may still use one that was created for it.
        if database.dialect == "postgresql" and not inspect(connection).has_schema(SCHEMA):
            connection.execute(CreateSchema(SCHEMA))
            connection.commit()
        with _alone(connection):
            command.upgrade(_config(connection), "head")
            connection.commit()
            return version_of(connection) or ""


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let nobody else migrate meanwhile, and take as long as it takes, but hold nobody up."""
    if connection.dialect.name != "postgresql":
        yield  # one writer at a time as it is
        return
    # Asked for again and again: an index that is built beside the traffic waits for every open statement, and
    # one that waits for a lock would be one.
    while not connection.execute(select(func.pg_try_advisory_lock(_LOCK))).scalar_one():
        connection.commit()
        sleep(_PAUSE_SECONDS)
    connection.execute(text("SET statement_timeout = 0"))
    # A change that waits for a lock makes everybody wait who comes after it: better to fail, and try again.
    connection.execute(text(f"SET lock_timeout = '{_LONGEST_LOCK_SECONDS}s'"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.invalidate()  # with its settings and its lock


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def main() -> None:
    try:
        print(f"the ledger has version {migrate(get_database())}")
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
