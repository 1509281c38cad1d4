"""SAQ with a hundred jobs at a time in each process; its results are kept for ten minutes, its default."""

import asyncio
import os
from typing import Any

from saq import Queue

from bench.sides.producer import Producer, together
from bench.tools.fill import note
from bench.tools.runs import note_run

queue = Queue.from_url(os.environ["BENCH_REDIS_URL"])


async def noop(_: dict[str, Any], *, payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


async def wait(_: dict[str, Any], *, payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    await asyncio.sleep(0.02)
    return int(payload["n"])


settings = {"queue": queue, "functions": [noop, wait], "concurrency": 100}


class Saq(Producer):
    async def open(self) -> None:
        await queue.connect()

    async def one(self, task: str, number: int) -> None:
        await queue.enqueue(task, payload=note(number))

    async def many(self, task: str, numbers: range) -> None:
        await together([self.one(task, number) for number in numbers])

    async def close(self) -> None:
        await queue.disconnect()


producer = Saq()
