"""Celery's producer: `.delay()`, and kombu's batches, the fastest way that is Celery's own."""

from typing import Any

from bench.sides.producer import Producer
from bench.sides.stock_celery import TASKS, celery
from bench.tools.fill import note


class Stock(Producer):
    """A job is in when Redis has answered."""

    async def open(self) -> None:
        with celery.connection_for_write() as connection:
            connection.ensure_connection()

    async def one(self, task: str, number: int) -> None:
        TASKS[task].delay(note(number))

    async def many(self, task: str, numbers: range) -> None:
        with celery.producer_pool.acquire(block=True) as producer:
            batches: Any = producer  # `batch` is newer than the stubs
            with batches.batch(len(numbers)):
                for number in numbers:
                    TASKS[task].apply_async((note(number),), producer=producer)


producer = Stock()
