"""What every side of a comparison can be told to do, and asked about what it holds."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from bench.tools.machine import LOCAL, Machine, free_port
from bench.tools.runs import CPU_VARIABLE, SENT_VARIABLE, VARIABLE
from jobyard.local.valkey import find_server, server_command

WAIT_SECONDS = 0.02


@dataclass(frozen=True)
class Ended:
    """How many jobs have an outcome on record, and how many of those are as they should be.

    That is a success; Jobyard knows also that it was the first attempt.
    """

    outcomes: int
    good: int


@dataclass(frozen=True)
class Enqueued:
    """So many jobs, and the seconds that a producer spent on putting them in."""

    jobs: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.jobs / self.seconds


class Side(ABC):
    """One side with processes of its own on a machine of its own."""

    longest_fill_seconds = 600

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.port, self.valkey_port = free_port(), free_port()
        self.runs_file = machine.folder / "runs"
        self.sent_file, self.cpu_file = machine.folder / "sent", machine.folder / "cpu"
        machine.environment |= {
            VARIABLE: str(self.runs_file),
            SENT_VARIABLE: str(self.sent_file),
            CPU_VARIABLE: str(self.cpu_file),
            "BENCH_REDIS_URL": f"redis://{LOCAL}:{self.valkey_port}",
            "BENCH_API": f"http://{LOCAL}:{self.port}",
        }

    @property
    @abstractmethod
    def producer(self) -> Sequence[str]:
        """The program that takes the words of `bench/sides/produce.py`."""

    @abstractmethod
    def start_broker(self) -> None:
        """Start what keeps the jobs, and wait until it answers."""

    @abstractmethod
    def serve(self) -> str:
        """Start the HTTP server; return the URL that takes jobs."""

    @abstractmethod
    def accepted(self) -> int:
        """Return how many jobs are on record, before any of them has run."""

    @abstractmethod
    def start_workers(self) -> None:
        """Start the workers, under names that begin with `worker`, and do not wait for them."""

    @abstractmethod
    def ended(self) -> Ended:
        """Count the outcomes."""

    def fill(self, jobs: int, task: str = "noop") -> None:
        """Put so many jobs into the queue that the workers serve."""
        self.enqueue("bulk", jobs, "--group", "500", "--task", task)

    def enqueue(self, way: str, jobs: int, *options: str) -> Enqueued:
        """Put jobs in one by one, or in groups, from one process."""
        said = self.produce("enqueue", way, str(jobs), *options)
        return Enqueued(**json.loads(said.splitlines()[-1]))

    def produce(self, *words: str) -> str:
        """Run the producer to its end, and return what it printed."""
        self.machine.start("produce", [*self.producer, *words])
        self.machine.wait_for_end("produce", self.longest_fill_seconds)
        return self.machine.output("produce")

    def serve_by_uvicorn(self, python: str, app: str) -> str:
        """Serve a tutorial's application in one process; its jobs are posted to `/jobs`."""
        options = ("--port", str(self.port), "--no-access-log", "--log-level", "warning")
        self.machine.start("api", [python, "-m", "uvicorn", app, *options])
        self.machine.wait_for_port(self.port, "the tutorial's API")
        return f"http://{LOCAL}:{self.port}/jobs"


class OnValkey(Side):
    """A side that keeps everything in a Valkey, which has the same options as Jobyard's own, and these."""

    valkey_options: Sequence[str] = ()

    def start_broker(self) -> None:
        folder = self.machine.folder / "valkey"
        folder.mkdir()
        own = server_command(find_server(), self.valkey_port, folder)
        self.machine.start("valkey", [*own, *self.valkey_options])
        self.machine.wait_for_port(self.valkey_port, "Valkey")

    def database(self, number: int) -> "redis.Redis":
        return redis.Redis(port=self.valkey_port, db=number)


def python_producer(module: str, python: str = sys.executable) -> list[str]:
    """Return the producer of a side whose jobs are put in from Python."""
    return [python, "-m", "bench.sides.produce", module]
