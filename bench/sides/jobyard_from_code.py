"""Jobyard's producer in a program of its user's: `submit` and `submit_many`."""

import os
from asyncio import sleep

from sqlalchemy import func, select

from bench.sides.noop_task import TASKS, Note
from bench.sides.producer import Producer
from bench.tools.fill import note
from jobyard.jobs.database.schema import job, status_is
from jobyard.jobs.job import Status
from jobyard.jobs.ledger import get_ledger
from jobyard.tasks.options import JobOptions

QUEUE = os.environ["BENCH_QUEUE"]


class FromCode(Producer):
    """A job is in when its row is committed."""

    async def open(self) -> None:
        with get_ledger().database.reading():
            pass

    async def one(self, task: str, number: int) -> None:
        TASKS[task].submit(Note(**note(number)), queue=QUEUE)

    async def many(self, task: str, numbers: range) -> None:
        TASKS[task].submit_many([Note(**note(number)) for number in numbers], JobOptions(queue=QUEUE))

    async def close(self) -> None:
        """Wait until every message is sent and written down as sent, since this process sends them."""
        # One that a worker has taken already is never written down as sent.
        unsent = select(func.count()).where(status_is(Status.QUEUED), job.c.published_at.is_(None))
        while True:
            with get_ledger().database.reading() as connection:
                if not connection.execute(unsent).scalar_one():
                    return
            await sleep(0.1)


producer = FromCode()
