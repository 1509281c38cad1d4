"""Real API processes on loopback: the run's own beside its worker, and strict ones in yards of their own."""

from collections.abc import Iterator

import httpx
import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.migrate import migrate
from tests.support.api_calls import MakeYard, client_of, ledger_of
from tests.support.processes import YardProcesses


@pytest.fixture(scope="session")
def engine(migrated: LedgerDatabase) -> LedgerDatabase:
    """The ledger's database of the run's own yard."""
    return migrated


@pytest.fixture(scope="session")
def make_yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeYard]:
    """Make a yard of its own with other settings; its ledger has its tables, and nothing is started."""
    yards: list[YardProcesses] = []

    def make(**settings: str) -> YardProcesses:
        home = tmp_path_factory.mktemp("yard")
        database = ledger_of(home)
        migrate(database)
        database.close()
        yards.append(
            YardProcesses(home, {f"JOBYARD_{name.upper()}": value for name, value in settings.items()})
        )
        return yards[-1]

    yield make
    for yard in yards:
        yard.stop_everything()


@pytest.fixture(scope="session")
def strict_yard(make_yard: MakeYard) -> YardProcesses:
    """A yard with small limits that collects from public addresses only; it has no broker and no worker."""
    yard = make_yard(
        files__max_bytes="100000",
        api__max_body_bytes="20000",
        api__max_bulk_bytes="50000",
        api__max_bulk_jobs="5",
        api__max_wait="1",
    )
    yard.start_api()
    return yard


@pytest.fixture(scope="session")
def strict_api(strict_yard: YardProcesses) -> Iterator[httpx.Client]:
    with client_of(strict_yard) as client:
        yield client


@pytest.fixture(scope="session")
def strict_engine(strict_yard: YardProcesses) -> Iterator[LedgerDatabase]:
    database = ledger_of(strict_yard.home)
    yield database
    database.close()
