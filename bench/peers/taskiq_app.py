"""taskiq on its list (popped and gone) or its stream (acknowledged when saved), results in Redis."""

import asyncio
import os
from typing import Any

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from bench.sides.producer import Producer, together
from bench.tools.fill import note
from bench.tools.runs import note_run

REDIS = os.environ["BENCH_REDIS_URL"]
BROKERS = {"list": ListQueueBroker, "stream": RedisStreamBroker}

broker = BROKERS[os.environ.get("BENCH_VARIANT", "list")](f"{REDIS}/0").with_result_backend(
    RedisAsyncResultBackend(f"{REDIS}/1")
)


@broker.task(task_name="noop")
async def noop(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


@broker.task(task_name="wait")
async def wait(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    await asyncio.sleep(0.02)
    return int(payload["n"])


TASKS = {"noop": noop, "wait": wait}


class Taskiq(Producer):
    async def open(self) -> None:
        await broker.startup()

    async def one(self, task: str, number: int) -> None:
        await TASKS[task].kiq(note(number))

    async def many(self, task: str, numbers: range) -> None:
        await together([TASKS[task].kiq(note(number)) for number in numbers])

    async def close(self) -> None:
        await broker.shutdown()


producer = Taskiq()
