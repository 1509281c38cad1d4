"""Jobyard as one side: the processes of `make run`, of them only those that a turn needs."""

import os
import sys
from collections.abc import Sequence
from contextlib import closing

from sqlalchemy import create_engine, text

from bench.sides.sides import Ended, Side, python_producer
from bench.tools.databases import new_database
from bench.tools.environments import LeftOutError
from bench.tools.machine import LOCAL, Machine
from jobyard.jobs.database.driver_errors import SCHEMA
from tests.support.rabbitmq_node import RabbitMQNode, missing_programs

SERVER_VARIABLE = "BENCH_POSTGRESQL_URL"
# A queue that the worker of that name serves.
QUEUES = {"worker-io": "default", "worker-cpu": "images"}
_JOBYARD = (sys.executable, "-m", "jobyard")
COMMANDS = {
    "valkey": (sys.executable, "-m", "jobyard.local.valkey"),
    "api": (*_JOBYARD, "api"),
    "worker-io": (*_JOBYARD, "worker", "--kind", "threads"),
    "worker-cpu": (*_JOBYARD, "worker", "--kind", "prefork"),
}


class Jobyard(Side):
    """One worker of `make run`, with the ledger in SQLite or in a database of its own on PostgreSQL."""

    def __init__(
        self,
        machine: Machine,
        worker: str = "worker-io",
        *,
        on_postgresql: bool = False,
        rabbitmq: str | None = None,
        by_http: bool = False,
    ) -> None:
        super().__init__(machine)
        self._worker, self._by_http = worker, by_http
        self._ledger = f"sqlite:///file:{machine.folder / 'jobyard.db'}?mode=ro&uri=true"
        self._connect_args: dict[str, str] = {}
        machine.environment |= {
            "JOBYARD_APP": "config.application",
            "JOBYARD_HOME": str(machine.folder),
            "JOBYARD_API__PORT": str(self.port),
            "JOBYARD_VALKEY__PORT": str(self.valkey_port),
            "JOBYARD_TASKS__MODULES": "bench.sides.noop_task",
            "BENCH_QUEUE": QUEUES[worker],
        }
        if on_postgresql:
            self._connect_args = {"options": f"-c search_path={SCHEMA}"}
            self._ledger = machine.enter(new_database(os.environ[SERVER_VARIABLE]))
            machine.environment["JOBYARD_LEDGER__URL"] = self._ledger
        self._rabbitmq: RabbitMQNode | None = None
        if rabbitmq:
            folder = machine.folder / "rabbitmq"
            folder.mkdir()
            self._rabbitmq = RabbitMQNode(folder)
            machine.environment |= {
                "JOBYARD_BROKER__URL": f"amqp://guest:guest@{LOCAL}:{self._rabbitmq.port}//",
                "JOBYARD_BROKER__QUEUE_TYPE": rabbitmq,
            }

    @property
    def producer(self) -> Sequence[str]:
        module = "jobyard_by_http" if self._by_http else "jobyard_from_code"
        return python_producer(f"bench.sides.{module}")

    def start_broker(self) -> None:
        self.machine.run("migrate", "jobyard", "migrate")
        self._start("valkey")
        self.machine.wait_for_port(self.valkey_port, "Valkey")
        if self._rabbitmq:
            self.machine.enter(closing(self._rabbitmq))
            self._rabbitmq.start()
        if self._by_http:
            self.serve()

    def serve(self) -> str:
        self._start("api")
        self.machine.wait_for_port(self.port, "Jobyard's API")
        return f"http://{LOCAL}:{self.port}/v1/tasks/bench.noop/jobs"

    def accepted(self) -> int:
        return self._ask("SELECT count(*) FROM job")[0]

    def start_workers(self) -> None:
        self._start(self._worker)

    def ended(self) -> Ended:
        return Ended(
            *self._ask(
                "SELECT count(*), count(CASE WHEN status = 'succeeded' AND attempt = 1 THEN 1 END) "
                "FROM job WHERE status IN ('cancelled', 'dead', 'expired', 'succeeded')"
            )
        )

    def _start(self, name: str) -> None:
        self.machine.start(name, COMMANDS[name])

    def _ask(self, query: str) -> tuple[int, ...]:
        engine = create_engine(self._ledger, connect_args=self._connect_args)
        try:
            with engine.connect() as connection:
                return tuple(connection.execute(text(query)).one())
        finally:
            engine.dispose()


def ask_for_postgresql() -> None:
    """Raise `LeftOutError` where no server is named."""
    if not os.environ.get(SERVER_VARIABLE):
        raise LeftOutError(f"{SERVER_VARIABLE} does not say where a PostgreSQL is")


def ask_for_rabbitmq() -> None:
    """Raise `LeftOutError` where none is installed."""
    if missing := missing_programs():
        raise LeftOutError(f"RabbitMQ is not installed: there is no {' and no '.join(missing)}")
