"""ardiq, whose Rust core reads Redis streams, with a hundred jobs at a time in each process."""

import os
from typing import Any

from ardiq import Ardiq

from bench.sides.producer import Producer
from bench.tools.fill import note
from bench.tools.runs import note_run

app = Ardiq(redis_url=os.environ["BENCH_REDIS_URL"], queue_name="bench", concurrency=100)


@app.task(name="noop")
async def noop(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


class ArdiqProducer(Producer):
    async def one(self, task: str, number: int) -> None:
        await noop.enqueue(note(number))

    async def many(self, task: str, numbers: range) -> None:
        await app.enqueue_many([noop.prepare(note(number)) for number in numbers])


producer = ArdiqProducer()
