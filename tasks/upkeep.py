"""The yard's own jobs: a sign of life, and the pruning of what ended long ago."""

from datetime import datetime, timedelta

from pydantic import Field

from config.queues import Queue
from jobs import upkeep
from jobs.clock import utc_now
from jobs.database import writing
from jobs.ledger import get_ledger
from tasks.base import task
from tasks.payload import Payload

SLICE = 500


class Heartbeat(Payload):
    """Carries nothing: that the job ends is the message."""


class Beat(Payload):
    """When a worker ran the heartbeat."""

    at: datetime


@task("upkeep.heartbeat", queue=Queue.DEFAULT, time_limit=10)
def heartbeat(_: Heartbeat) -> Beat:
    """Show that beat, the broker, a worker and the ledger work together."""
    return Beat(at=utc_now())


class Prune(Payload):
    """Which finished jobs to delete: those that ended longer ago than `keep`."""

    keep: timedelta = Field(timedelta(days=30), ge=timedelta(minutes=1))


class Pruned(Payload):
    """How many jobs were deleted."""

    jobs: int


@task("upkeep.prune", queue=Queue.DEFAULT, time_limit=600)
def prune(order: Prune) -> Pruned:
    """Delete finished jobs with their history, in slices that hold nobody up."""
    deleted = 0
    with writing(get_ledger().engine) as connection:
        upkeep.forget_old(connection, order.keep)
    while True:
        with writing(get_ledger().engine) as connection:
            of_slice = upkeep.prune(connection, SLICE, order.keep)
        deleted += of_slice
        if of_slice < SLICE:
            return Pruned(jobs=deleted)
