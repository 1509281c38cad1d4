"""Tasks and attempts for the tests of the supervisors."""

import time
from collections.abc import Callable
from itertools import count
from typing import Unpack

from jobyard.jobs.clock import monotonic, utc_now
from jobyard.jobs.job import ClaimedJob, new_id
from jobyard.jobs.ledger.leases import Lease
from jobyard.tasks.declare import task
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.payload import Payload
from jobyard.tasks.task_options import TaskOptions


class Order(Payload):
    pass


names = (f"test.watched_{number}" for number in count())


def doing(deed: Callable[[], object], **options: Unpack[TaskOptions]) -> AnyDefinition:
    @task(next(names), **options)
    def do(order: Order) -> str:
        return str(deed())

    return do.definition


def claimed() -> ClaimedJob:
    return ClaimedJob(new_id(), "test.watched", "{}", 1, 0, 3, 0, utc_now())


def lease(job: ClaimedJob, seconds: float = 60) -> Lease:
    return Lease(job, seconds, monotonic())


def compute() -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        sum(range(100))
