"""A peer as one side: programs of its own environment, on the same Valkey as plain Celery's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from bench.sides.sides import Ended, OnValkey, python_producer
from bench.tools.environments import node_environment, python_environment
from bench.tools.machine import LOCAL, ROOT, Machine

PEERS = ROOT / "bench" / "peers"
Count = Callable[["redis.Redis"], int]


def keys(pattern: str) -> Count:
    """Count the keys of this pattern."""
    return lambda client: sum(1 for _ in client.scan_iter(match=pattern, count=1000))


def members(key: str) -> Count:
    """Count the members of a sorted set."""
    return lambda client: _number(client.zcard(key))


def fields(key: str) -> Count:
    """Count the fields of a hash."""
    return lambda client: _number(client.hlen(key))


def length(key: str) -> Count:
    """Count the entries of a list."""
    return lambda client: _number(client.llen(key))


def entries(key: str) -> Count:
    """Count the entries of a stream."""
    return lambda client: _number(client.xlen(key))


def everything(client: "redis.Redis") -> int:
    """Count all keys of a database that has only what is counted."""
    return _number(client.dbsize())


def holding(pattern: str, words: bytes) -> Count:
    """Count the keys of this pattern whose values hold these words."""

    def count(client: "redis.Redis") -> int:
        found = list(client.scan_iter(match=pattern, count=1000))
        return sum(words in (value or b"") for value in client.mget(found)) if found else 0

    return count


def _number(answer: Any) -> int:
    return int(answer)


@dataclass(frozen=True)
class Peer:
    """How one peer is run. `worker` begins with a program of its environment, or is for its Node file."""

    environment: str
    module: str
    worker: Sequence[str]
    outcomes: Count
    workers: int = 1
    outcomes_database: int = 0
    variant: str | None = None
    api: str | None = None
    waiting: Count = field(default=everything)


class PeerSide(OnValkey):
    """One peer's workers, producer and, where it has one, HTTP server."""

    def __init__(self, machine: Machine, peer: Peer) -> None:
        super().__init__(machine)
        self._peer = peer
        if peer.variant is not None:
            machine.environment["BENCH_VARIANT"] = peer.variant

    def accepted(self) -> int:
        with self.database(0) as client:
            return self._peer.waiting(client)

    def ended(self) -> Ended:
        # Only a success is where the outcomes are counted, or the runs themselves tell of the failure.
        with self.database(self._peer.outcomes_database) as client:
            outcomes = self._peer.outcomes(client)
        return Ended(outcomes, outcomes)

    def start_workers(self) -> None:
        for number in range(self._peer.workers):
            self.machine.start(f"worker{number}", self._worker_line())

    def _worker_line(self) -> list[str]:
        program, *words = self._peer.worker
        return [str(python_environment(self._peer.environment) / program), *words]


class PythonPeer(PeerSide):
    """A peer in a virtual environment of its own."""

    @property
    def producer(self) -> Sequence[str]:
        return python_producer(self._peer.module, self._python)

    def serve(self) -> str:
        return self.serve_by_uvicorn(self._python, f"{self._peer.api}:api")

    @property
    def _python(self) -> str:
        return str(python_environment(self._peer.environment) / "python")


class NodePeer(PeerSide):
    """A peer that runs on Node."""

    def __init__(self, machine: Machine, peer: Peer) -> None:
        super().__init__(machine, peer)
        machine.environment |= {"NODE_PATH": str(node_environment()), "PORT": str(self.port)}

    @property
    def producer(self) -> Sequence[str]:
        return ["node", str(PEERS / self._peer.module)]

    def serve(self) -> str:
        self.machine.start("api", ["node", str(PEERS / (self._peer.api or ""))])
        self.machine.wait_for_port(self.port, "the Node server")
        return f"http://{LOCAL}:{self.port}/jobs"

    def _worker_line(self) -> list[str]:
        return [*self.producer, *self._peer.worker]
