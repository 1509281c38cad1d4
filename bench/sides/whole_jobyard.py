"""Jobyard as `make run` starts it, with its ledger and its broker looked into."""

import json
from base64 import b64decode
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial

import redis
from sqlalchemy import delete

from bench.sides.contenders import Contender, jobyard, jobyard_on_postgresql
from bench.sides.jobyard_side import Jobyard
from bench.tools.ledgers import opened_ledger
from jobyard.jobs.database.schema import worker as worker_table
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.living_workers import list_workers
from jobyard.settings import Settings
from jobyard.settings.queues import PRIORITIES
from jobyard.settings.sections import ValkeySettings

# `worker-io` serves this queue, and `worker-cpu` is a worker, with its keeper, that takes nothing from it.
QUEUE = "default"
TAKES, TAKES_NOTHING = "worker-io", "worker-cpu"


class WholeJobyard(Jobyard):
    """Any of the processes of `make run`, over one queue."""

    longest_fill_seconds = 1_800

    def start_and_wait(self, *workers: str) -> None:
        """Start workers by their names, and wait until the ledger knows them."""
        before = self._known_workers()
        for worker in workers:
            self._start(worker)
        self.machine.wait_until(
            lambda: len(self._known_workers() - before) >= len(workers), 60, "the workers to be ready"
        )

    def stop(self, worker: str) -> None:
        """Tell a worker to stop, wait until it has, and forget it: what it could not finish goes back."""
        process = self.machine.processes(worker)[0]
        process.terminate()
        self.machine.wait_for_end(worker, 60)
        # Publishers make smaller messages for half a minute after they have seen a worker.
        with self.ledger() as ledger, ledger.database.engine.begin() as connection:
            connection.execute(delete(worker_table).where(worker_table.c.pid == process.pid))

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Open the ledger for this process, beside those that work on it."""
        return opened_ledger(self.machine.folder, self.machine.environment.get("JOBYARD_LEDGER__URL"))

    @cached_property
    def broker(self) -> "redis.Redis":
        settings = Settings(home=self.machine.folder, valkey=ValkeySettings(port=self.valkey_port))
        return redis.Redis.from_url(settings.embedded_redis_url, decode_responses=True)

    def messages(self) -> int:
        """Return how many messages wait in the queue."""
        return sum(int(self.broker.llen(name)) for name in _lists())

    def named(self) -> list[str]:
        """Return the ids of the jobs that the waiting messages are about, each as often as it is named."""
        texts = [text for name in _lists() for text in self.broker.lrange(name, 0, -1)]
        return [job_id for text in texts for job_id in json.loads(b64decode(json.loads(text)["body"]))[0][0]]

    def is_published(self) -> bool:
        """Tell whether the ledger has no job left that waits to be published, now or later."""
        scheduled = "SELECT 1 FROM job WHERE status IN ('retrying', 'scheduled')"
        unsent = "SELECT 1 FROM job WHERE status IN ('queued') AND published_at IS NULL"
        return not any(self._ask(f"SELECT EXISTS ({scheduled}), EXISTS ({unsent})"))

    def _known_workers(self) -> set[int]:
        with self.ledger() as ledger:
            return {worker.pid for worker in list_workers(ledger.database, timedelta(minutes=1))}


def whole_jobyard(label: str, *, on_postgresql: bool = False) -> Contender:
    """Jobyard as a contender whose side is a `WholeJobyard`."""
    like = jobyard_on_postgresql("") if on_postgresql else jobyard("")
    return replace(like, label=label, side=partial(WholeJobyard, on_postgresql=on_postgresql))


def _lists() -> Iterable[str]:
    # What kombu calls the lists of a queue: one for each priority, and no number for the first.
    queue = f"{Settings().key_prefix}{QUEUE}"
    return (f"{queue}:{priority}" if priority else queue for priority in PRIORITIES)
