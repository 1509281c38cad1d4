"""One yard for the whole run: its broker, its ledger, and a worker that serves every queue.

`TEST_BROKER=rabbitmq` gives it a RabbitMQ; without it, it has its own Valkey.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

# Settings are read once for each process, so the run's own must stand before anything reads them.
_HOME = Path(mkdtemp(prefix="jobyard-tests-"))

from tests.support.broker import RABBITMQ, REDIS  # noqa: E402
from tests.support.processes import YardProcesses, answers  # noqa: E402
from tests.support.rabbitmq_node import RabbitMQNode, require_rabbitmq  # noqa: E402

_NODE = RabbitMQNode(_HOME / "rabbitmq") if os.environ.get("TEST_BROKER", REDIS) == RABBITMQ else None

_YARD = YardProcesses(
    _HOME,
    {
        "JOBYARD_KEEPER__INTERVAL": "0.2",
        "JOBYARD_KEEPER__UNSENT_AFTER": "1",
        "JOBYARD_WORKER__LEASE": "5",
        "JOBYARD_COLLECT__ALLOW": "127.0.0.0/8",
        "JOBYARD_COLLECT__HOST_INTERVAL": "0.001",
        "JOBYARD_COLLECT__TIMEOUT": "5",
        "JOBYARD_SMTP__RETRY_AFTER": "1",
        "JOBYARD_LOG__LEVEL": "INFO",
        **({"JOBYARD_BROKER__URL": f"amqp://guest:guest@127.0.0.1:{_NODE.port}//"} if _NODE else {}),
    },
)
for _name in [name for name in os.environ if name.startswith("JOBYARD_")]:
    del os.environ[_name]
os.environ.update(_YARD.settings)

import httpx  # noqa: E402
import pytest  # noqa: E402
from sqlalchemy import delete  # noqa: E402

from jobyard.jobs.database.ledger_database import LedgerDatabase, get_database  # noqa: E402
from jobyard.jobs.database.migrate import migrate  # noqa: E402
from jobyard.jobs.database.schema import job  # noqa: E402
from jobyard.jobs.ledger.ledger import Ledger, get_ledger  # noqa: E402
from jobyard.settings import Settings, get_settings  # noqa: E402
from jobyard.settings.application import get_application  # noqa: E402
from tests.support.api_calls import client_of  # noqa: E402
from tests.support.moves import forbid_illegal_moves  # noqa: E402
from tests.support.whole_yard import WholeYard, whole_yard  # noqa: E402

# Found in the working directory, once for each process: before a test works in another one.
get_application()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return get_settings()


@pytest.fixture(scope="session")
def migrated() -> LedgerDatabase:
    database = get_database()
    migrate(database)
    forbid_illegal_moves(database.engine)
    return database


@pytest.fixture(scope="session")
def yard(migrated: LedgerDatabase) -> Iterator[YardProcesses]:
    """The run's own yard, with its broker started."""
    if _NODE is None:
        _YARD.start_valkey()
    else:
        require_rabbitmq()
        _NODE.start()
    yield _YARD
    _YARD.stop_everything()
    if _NODE is not None:
        _NODE.close()


@pytest.fixture(scope="session")
def worker(yard: YardProcesses) -> YardProcesses:
    """The same yard with a worker that serves every queue on threads."""
    yard.start_worker()
    return yard


@pytest.fixture(scope="session")
def api(worker: YardProcesses) -> Iterator[httpx.Client]:
    """The API of the same yard, as a client sees it."""
    if not answers(worker.port("API")):
        worker.start_api()
    with client_of(worker) as client:
        yield client


@pytest.fixture
def own_yard(tmp_path: Path) -> Iterator[WholeYard]:
    """A yard of the test's own, for `make run`."""
    with whole_yard(tmp_path / "var") as yard:
        yield yard


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A RabbitMQ of this process's own, started by the first test that opens a virtual host on it."""
    require_rabbitmq()
    node = RabbitMQNode(tmp_path_factory.mktemp("rabbitmq"))
    yield node
    node.close()


@pytest.fixture
def ledger(migrated: LedgerDatabase) -> Ledger:
    """The run's ledger, which the broker and the workers of `yard` share."""
    return get_ledger()


@pytest.fixture
def empty_ledger(ledger: Ledger) -> Ledger:
    """The run's ledger with no job in it."""
    with ledger.database.engine.begin() as connection:
        connection.execute(delete(job))
    return ledger
