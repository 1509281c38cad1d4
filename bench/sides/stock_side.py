"""Celery as one side: FastAPI and Celery as in the tutorials, on a Valkey with the same append-only file."""

import sys
from collections.abc import Sequence

from bench.sides.sides import Ended, OnValkey, python_producer
from bench.tools.machine import Machine

# The broker's heartbeat, gossip and mingle are off where Jobyard has them off.
QUIET = ("--without-gossip", "--without-mingle")


class Stock(OnValkey):
    """Workers of one pool; everything that is not said is Celery's default.

    `on_disk` is as safe as it can be made by options: Valkey answers when the disk has what it was told, and
    messages are acknowledged when their jobs have ended.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        pool: Sequence[str],
        workers: int,
        by_http: bool,
        on_disk: bool,
    ) -> None:
        super().__init__(machine)
        self._pool, self._workers, self._by_http = pool, workers, by_http
        if on_disk:
            self.valkey_options = ("--appendfsync", "always")
            machine.environment["BENCH_ACKS_LATE"] = "yes"

    @property
    def producer(self) -> Sequence[str]:
        return python_producer("bench.sides.stock_by_http" if self._by_http else "bench.sides.stock_producer")

    def start_broker(self) -> None:
        super().start_broker()
        if self._by_http:
            self.serve()

    def serve(self) -> str:
        return self.serve_by_uvicorn(sys.executable, "bench.sides.stock_celery:api")

    def accepted(self) -> int:
        with self.database(0) as broker:
            return int(broker.llen("celery"))

    def start_workers(self) -> None:
        celery = [sys.executable, "-m", "celery", "-A", "bench.sides.stock_celery:celery", "worker"]
        for number in range(self._workers):
            name = f"worker{number}"
            self.machine.start(name, [*celery, "-n", f"{name}@%h", *self._pool, *QUIET])

    def ended(self) -> Ended:
        with self.database(1) as results:
            outcomes = results.mget(results.keys()) if results.dbsize() else []
        return Ended(len(outcomes), sum(b'"status": "SUCCESS"' in (outcome or b"") for outcome in outcomes))
