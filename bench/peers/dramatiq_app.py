"""dramatiq with its results in Redis."""

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends.redis import RedisBackend

from bench.sides.producer import Producer
from bench.tools.fill import note
from bench.tools.runs import note_run

REDIS = os.environ["BENCH_REDIS_URL"]

broker = RedisBroker(url=f"{REDIS}/0")
broker.add_middleware(Results(backend=RedisBackend(url=f"{REDIS}/1"), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


class Dramatiq(Producer):
    async def open(self) -> None:
        broker.client.ping()

    async def one(self, task: str, number: int) -> None:
        noop.send(note(number))

    async def many(self, task: str, numbers: range) -> None:
        dramatiq.group(noop.message(note(number)) for number in numbers).run()


producer = Dramatiq()
