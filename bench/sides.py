"""The two sides of every comparison: how each is started, filled, and asked what it holds."""

import sqlite3
import sys
from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.machine import LOCAL, ROOT, Machine, free_port
from bench.runs import VARIABLE
from yard.valkey import command, find_server

# A queue that the worker of that name in the Procfile serves.
QUEUES = {"worker-io": "default", "worker-cpu": "images"}


@dataclass(frozen=True)
class Ended:
    """How many jobs have an outcome on record, and how many of those are as they should be.

    That is a success; Jobyard knows also that it was the first attempt.
    """

    outcomes: int
    good: int


class Side(ABC):
    """One side with processes of its own on a machine of its own."""

    name: str
    keeps: str

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.port, self.valkey_port = free_port(), free_port()
        self.runs_file = machine.folder / "runs"
        machine.environment[VARIABLE] = str(self.runs_file)

    @abstractmethod
    def serve(self) -> str:
        """Start the broker and the HTTP server; return the URL that takes jobs."""

    @abstractmethod
    def accepted(self) -> int:
        """Return how many jobs are on record."""

    @abstractmethod
    def fill(self, jobs: int, worker: str) -> None:
        """Start the broker and put so many jobs into the queue that this worker serves."""

    @abstractmethod
    def start_worker(self, worker: str) -> None:
        """Start the worker of that name, and do not wait for it."""

    @abstractmethod
    def ended(self) -> Ended:
        """Count the outcomes."""

    def _redis(self, database: int) -> "redis.Redis":
        return redis.Redis(port=self.valkey_port, db=database)


class Jobyard(Side):
    """The processes of the Procfile, that is, of `make run`; of them only those that a turn needs."""

    name = "Jobyard"
    keeps = "a row in SQLite (WAL, synchronous = FULL): on disk before the answer"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        machine.environment |= {
            "JOBYARD_HOME": str(machine.folder),
            "JOBYARD_API__PORT": str(self.port),
            "JOBYARD_VALKEY__PORT": str(self.valkey_port),
            "JOBYARD_TASKS__MODULES": "bench.noop_task",
        }

    def serve(self) -> str:
        self._start_broker()
        self._start("api")
        self.machine.wait_for_port(self.port, "Jobyard's API")
        return f"http://{LOCAL}:{self.port}/v1/tasks/bench.noop/jobs"

    def accepted(self) -> int:
        return int(self._ask("SELECT count(*) FROM job")[0])

    def fill(self, jobs: int, worker: str) -> None:
        self._start_broker()
        self.machine.run("fill", "bench.fill", "jobyard", str(jobs), QUEUES[worker])

    def start_worker(self, worker: str) -> None:
        self._start(worker)

    def ended(self) -> Ended:
        return Ended(
            *self._ask(
                "SELECT count(*), count(CASE WHEN status = 'succeeded' AND attempt = 1 THEN 1 END) "
                "FROM job WHERE status IN ('succeeded', 'dead', 'cancelled', 'expired')"
            )
        )

    def _start_broker(self) -> None:
        self.machine.run("migrate", "jobs.migrate")
        self._start("valkey")
        self.machine.wait_for_port(self.valkey_port, "Valkey")

    def _start(self, name: str) -> None:
        self.machine.start(name, procfile()[name])

    def _ask(self, query: str) -> tuple[int, ...]:
        file = f"file:{self.machine.folder / 'jobyard.db'}?mode=ro"
        with closing(sqlite3.connect(file, uri=True, timeout=30)) as connection:
            row: tuple[int, ...] = connection.execute(query).fetchone()
            return row


class Stock(Side):
    """FastAPI and Celery as in the tutorials, on a Valkey with the same append-only file."""

    name = "Celery"
    keeps = "an entry in Valkey (AOF, everysec): up to a second of them is lost with the power"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        machine.environment["BENCH_REDIS_URL"] = f"redis://{LOCAL}:{self.valkey_port}"

    def serve(self) -> str:
        self._start_broker()
        options = ("--port", str(self.port), "--no-access-log", "--log-level", "warning")
        self.machine.start("api", [sys.executable, "-m", "uvicorn", "bench.stock_celery:api", *options])
        self.machine.wait_for_port(self.port, "the tutorial's API")
        return f"http://{LOCAL}:{self.port}/jobs"

    def accepted(self) -> int:
        with self._redis(0) as broker:
            return int(broker.llen("celery"))

    def fill(self, jobs: int, worker: str) -> None:
        self._start_broker()
        self.machine.run("fill", "bench.fill", "stock", str(jobs))

    def start_worker(self, worker: str) -> None:
        pool = ("-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle")
        self.machine.start(
            "worker", [sys.executable, "-m", "celery", "-A", "bench.stock_celery:celery", "worker", *pool]
        )

    def ended(self) -> Ended:
        with self._redis(1) as results:
            outcomes = results.mget(results.keys()) if results.dbsize() else []
        return Ended(len(outcomes), sum(b'"status": "SUCCESS"' in (outcome or b"") for outcome in outcomes))

    def _start_broker(self) -> None:
        folder = self.machine.folder / "valkey"
        folder.mkdir()
        self.machine.start("valkey", command(find_server(), self.valkey_port, folder))
        self.machine.wait_for_port(self.valkey_port, "Valkey")


def procfile(path: Path = ROOT / "Procfile") -> dict[str, str]:
    """Return the commands of `make run` by name."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: line.strip() for name, _, line in (line.partition(":") for line in lines)}
