"""A ledger of its own for each test, on SQLite and, where that is asked for, on PostgreSQL."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase, open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.declared_queues import declare_queues
from jobyard.settings import Settings
from jobyard.settings.sections import KeeperSettings, LedgerSettings, WorkerSettings
from jobyard.tasks.queues import declared_queues
from jobyard.tasks.registry import declared, unregister
from tests.support.moves import forbid_illegal_moves
from tests.support.postgresql import new_database

QUICK_WORKER = WorkerSettings(lease=timedelta(milliseconds=300))
QUICK_KEEPER = KeeperSettings(
    interval=timedelta(milliseconds=50),
    unsent_after=timedelta(milliseconds=100),
    resend_after=timedelta(milliseconds=200),
)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite ledger, to be copied."""
    home = tmp_path_factory.mktemp("template")
    database = open_database(Settings(home=home))
    _prepare(database)
    database.close()  # the last to close a WAL file writes it back into the one that is copied
    return home / "jobyard.db"


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[str]:
    """The URL of a migrated database, to be copied: making one takes five times as long."""
    with new_database() as url:
        database = open_database(Settings(ledger=LedgerSettings(url=url)))
        _prepare(database)
        database.close()
        yield url


def _prepare(database: LedgerDatabase) -> None:
    migrate(database)
    declare_queues(database, declared_queues())
    forbid_illegal_moves(database.engine)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def own_ledger(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Iterator[Ledger]:
    """A ledger that nobody else uses, with a lease of 0.3 s."""
    if request.param == "sqlite":
        shutil.copy(template, tmp_path / "jobyard.db")
        settings = Settings(home=tmp_path, worker=QUICK_WORKER, keeper=QUICK_KEEPER)
        database = open_database(settings)
        yield Ledger(database, settings)
        database.close()
    else:
        yield from _on_postgresql(request.getfixturevalue("postgresql_template"))


@pytest.fixture
def postgresql_ledger(postgresql_template: str) -> Iterator[Ledger]:
    """As `own_ledger`, for what only PostgreSQL can do."""
    yield from _on_postgresql(postgresql_template)


def _on_postgresql(template: str) -> Iterator[Ledger]:
    with new_database(template) as url:
        settings = Settings(ledger=LedgerSettings(url=url), worker=QUICK_WORKER, keeper=QUICK_KEEPER)
        database = open_database(settings)
        yield Ledger(database, settings)
        database.close()


@pytest.fixture
def tasks_are_forgotten() -> Iterator[None]:
    """Take away the tasks that a test declares."""
    before = set(declared)
    yield
    for name in set(declared) - before:
        unregister(name)
