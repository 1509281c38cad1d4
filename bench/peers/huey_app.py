"""huey on Redis; results are stored where they are not None, its default."""

import os
from typing import Any

from huey import RedisHuey

from bench.sides.producer import Producer
from bench.tools.fill import note
from bench.tools.runs import note_run

huey = RedisHuey("bench", url=os.environ["BENCH_REDIS_URL"])


@huey.task()
def noop(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


class Huey(Producer):
    async def open(self) -> None:
        huey.storage.conn.ping()

    async def one(self, task: str, number: int) -> None:
        noop(note(number))


producer = Huey()
