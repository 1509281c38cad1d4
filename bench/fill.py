"""Fills a queue with no-op jobs: `python -m bench.fill jobyard COUNT QUEUE` or `... stock COUNT`."""

import json
import sys
from time import sleep
from typing import Any

GROUP = 500


def note(number: int) -> dict[str, Any]:
    """Return the payload of job `number`, about 130 bytes as JSON; both sides get the same."""
    return {
        "n": number,
        "to": "ada@example.org",
        "subject": "The engine",
        "text": "It might act upon other things besides number.",
    }


def payload_text(number: int) -> str:
    """Return the payload of job `number` as its model dumps it."""
    return json.dumps(note(number), separators=(",", ":"))


def fill_jobyard(count: int, queue: str) -> None:
    """Commit the jobs, and return when every message is sent and written down as sent."""
    from sqlalchemy import func, select

    from bench.noop_task import Note, noop
    from config.queues import Queue
    from jobs.database import reading
    from jobs.ledger import get_ledger
    from jobs.schema import job
    from tasks.options import JobOptions

    options = JobOptions(queue=Queue(queue))
    for first in range(0, count, GROUP):
        noop.submit_many([Note(**note(n)) for n in range(first, min(first + GROUP, count))], options)
    unsent = select(func.count()).where(job.c.published_at.is_(None))
    while True:
        with reading(get_ledger().engine) as connection:
            if not connection.execute(unsent).scalar_one():
                return
        sleep(0.1)


def fill_stock(count: int) -> None:
    """Publish the jobs in kombu's batches, the fastest way that is Celery's own."""
    from bench.stock_celery import celery, noop

    with celery.producer_pool.acquire(block=True) as producer:
        batches: Any = producer  # `batch` is newer than the stubs
        with batches.batch(GROUP):
            for number in range(count):
                noop.apply_async((note(number),), producer=producer)


def main() -> None:
    side, count, *queue = sys.argv[1:]
    fill_jobyard(int(count), *queue) if side == "jobyard" else fill_stock(int(count))


if __name__ == "__main__":
    main()
