"""RQ, whose results are kept for 500 seconds, its default."""

import os
from typing import Any

from redis import Redis
from rq import Queue

from bench.sides.producer import Producer
from bench.tools.fill import note
from bench.tools.runs import note_run

REDIS_URL = os.environ["BENCH_REDIS_URL"]  # read by its command line


def noop(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


class RQ(Producer):
    async def open(self) -> None:
        connection = Redis.from_url(REDIS_URL)
        connection.ping()
        self._queue = Queue(connection=connection)

    async def one(self, task: str, number: int) -> None:
        self._queue.enqueue(noop, note(number))

    async def many(self, task: str, numbers: range) -> None:
        self._queue.enqueue_many([Queue.prepare_data(noop, (note(number),)) for number in numbers])


producer = RQ()
