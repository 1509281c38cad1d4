"""arq with a hundred jobs at a time; its results are kept for an hour, its default."""

import asyncio
import json
import os
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from bench.sides.producer import Producer, together
from bench.tools.fill import note
from bench.tools.runs import note_run

SETTINGS = RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"])
POLL_DELAY = os.environ.get("BENCH_VARIANT")


def dumps(content: dict[str, Any]) -> bytes:
    """Write JSON, as every other side does; arq's own default is pickle."""
    return json.dumps(content, separators=(",", ":")).encode()


async def noop(_: dict[str, Any], payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


async def wait(_: dict[str, Any], payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    await asyncio.sleep(0.02)
    return int(payload["n"])


class Worker:
    """Read by arq's command line."""

    functions = (noop, wait)
    redis_settings = SETTINGS
    max_jobs = 100
    job_serializer = staticmethod(dumps)
    job_deserializer = staticmethod(json.loads)
    poll_delay = float(POLL_DELAY or 0.5)  # 0.5 is its default


class Arq(Producer):
    async def open(self) -> None:
        self._pool = await create_pool(SETTINGS, job_serializer=dumps, job_deserializer=json.loads)

    async def one(self, task: str, number: int) -> None:
        await self._pool.enqueue_job(task, note(number))

    async def many(self, task: str, numbers: range) -> None:
        await together([self.one(task, number) for number in numbers])

    async def close(self) -> None:
        await self._pool.aclose()


producer = Arq()
