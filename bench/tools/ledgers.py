"""Ledgers to be measured: an SQLite file, or a new database on a PostgreSQL server; gone afterwards."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from bench.tools.databases import new_database
from bench.tools.machine import RESULTS, BenchError
from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.database.sqlite import make_sqlite_file
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings
from jobyard.settings.sections import LedgerSettings

SERVER_VARIABLE = "BENCH_POSTGRESQL_URL"
SERVER = os.environ.get(SERVER_VARIABLE, "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")


@contextmanager
def sqlite_ledger() -> Iterator[Ledger]:
    """Make a ledger in a file on the checkout's own disk."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="ledger-", dir=RESULTS) as folder, _opened(folder, None) as ledger:
        yield ledger


@contextmanager
def postgresql_ledger() -> Iterator[Ledger]:
    """Make a ledger in a new database; raises `BenchError` where there is no server."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(new_database(SERVER))
        except OperationalError as error:
            where = make_url(SERVER).render_as_string()
            raise BenchError(f"no PostgreSQL at {where} ({SERVER_VARIABLE}): {error.orig}") from error
        folder = stack.enter_context(TemporaryDirectory())
        yield stack.enter_context(_opened(folder, url))


@contextmanager
def _opened(folder: str, url: str | None) -> Iterator[Ledger]:
    with opened_ledger(Path(folder), url) as ledger:
        make_sqlite_file(ledger.database.url)
        migrate(ledger.database)
        yield ledger


@contextmanager
def opened_ledger(home: Path, url: str | None) -> Iterator[Ledger]:
    """Open the ledger of a yard that is there already: the file in its folder, or the database of the URL."""
    settings = Settings(_env_file=None, home=home, ledger=LedgerSettings(url=url))
    database = open_database(settings)
    try:
        yield Ledger(database, settings)
    finally:
        database.close()
