"""Brings the ledger's database to the shape of `jobs/schema.py`: `python -m jobs.migrate`."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.schema import CreateSchema

from jobs.database import get_engine, make_sqlite_file, writing
from jobs.database_faults import SCHEMA, named_faults
from jobs.errors import JobyardError, LedgerUnavailableError
from jobs.forking import inside_gate

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> str:
    """Run the migrations that the database has not seen; return its version."""
    make_sqlite_file(engine)
    with inside_gate(), named_faults(engine), engine.connect() as connection:
        # Asked first: who may not create schemas may still use one that was created for it.
        if engine.dialect.name == "postgresql" and not inspect(connection).has_schema(SCHEMA):
            connection.execute(CreateSchema(SCHEMA))
            connection.commit()
        command.upgrade(_config(connection), "head")
        connection.commit()
        return _version(connection) or ""


def check_is_migrated(engine: Engine) -> None:
    """Raise `LedgerUnavailableError` unless the database has the shape that the code expects."""
    with writing(engine) as connection:
        found = _version(connection)
    wanted = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    if found != wanted:
        raise LedgerUnavailableError(
            f"the ledger at {engine.url.render_as_string()} has version {found}, this code needs {wanted}: "
            "run `make migrate`, or use the Jobyard that made it"
        )


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def main() -> None:
    try:
        print(f"the ledger has version {migrate(get_engine())}")
    except JobyardError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
