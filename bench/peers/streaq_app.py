"""streaq with a hundred jobs at a time in each process; results are kept for 5 minutes, its default."""

import asyncio
import json
import os
from contextlib import AsyncExitStack
from typing import Any

from streaq import Worker

from bench.sides.producer import Producer
from bench.tools.fill import note
from bench.tools.runs import note_run

# JSON, as on every other side; its own default is pickle.
worker = Worker(
    redis_url=os.environ["BENCH_REDIS_URL"], concurrency=100, serializer=json.dumps, deserializer=json.loads
)


@worker.task(name="noop")
async def noop(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


@worker.task(name="wait")
async def wait(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    await asyncio.sleep(0.02)
    return int(payload["n"])


TASKS = {"noop": noop, "wait": wait}


class Streaq(Producer):
    async def open(self) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(worker)

    async def one(self, task: str, number: int) -> None:
        await TASKS[task].enqueue(note(number))

    async def many(self, task: str, numbers: range) -> None:
        await worker.enqueue_many([TASKS[task].enqueue(note(number)) for number in numbers])

    async def close(self) -> None:
        await self._stack.aclose()


producer = Streaq()
