"""Queues: how many jobs wait, how long they wait, and how many messages the broker holds."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from jobyard.http.parts import TheParts
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import Status
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.jobs.reading.job_queries import QueueFigures, queue_figures
from jobyard.jobs.reading.living_workers import slots_by_queue
from jobyard.settings.queues import Queue

router = APIRouter(prefix="/v1/queues", tags=["queues"])


class QueueView(BaseModel):
    """A queue: the ledger's counts, and the broker's `messages`, null where the broker does not answer."""

    name: str
    purpose: str
    kind: str = Field(
        description="Its workers' pool: `threads` for tasks that wait, `prefork` for tasks that compute."
    )
    slots: int = Field(
        description="How many of its jobs the live workers can run at once; 0 where no worker serves it."
    )
    queued: int
    scheduled: int
    retrying: int
    running: int
    oldest_queued_at: datetime | None
    oldest_queued_seconds: float | None = Field(description="How long the oldest queued job has waited.")
    messages: int | None


@router.get("", operation_id="list_queues")
def list_queues(parts: TheParts) -> list[QueueView]:
    """Every declared queue with its depth, its oldest job, its running jobs and its workers' slots."""
    figures = queue_figures(parts.ledger.database)
    # A job that was inserted with SQL may wait in a queue that no process has declared yet.
    known = {name: Queue(name) for name in figures} | known_queues(parts.ledger.database)
    slots = slots_by_queue(parts.ledger.database, parts.settings.worker.lease)
    depths = parts.publisher.depths(known)
    empty = QueueFigures({}, None)
    return [
        _view(queue, figures.get(name, empty), slots.get(name, 0), depths.get(name))
        for name, queue in sorted(known.items())
    ]


def _view(queue: Queue, figures: QueueFigures, slots: int, messages: int | None) -> QueueView:
    oldest = figures.oldest_queued_at
    return QueueView(
        name=queue.name,
        purpose=queue.purpose,
        kind=queue.kind,
        slots=slots,
        queued=figures.counts.get(Status.QUEUED, 0),
        scheduled=figures.counts.get(Status.SCHEDULED, 0),
        retrying=figures.counts.get(Status.RETRYING, 0),
        running=figures.counts.get(Status.RUNNING, 0),
        oldest_queued_at=oldest,
        oldest_queued_seconds=max(0.0, (utc_now() - oldest).total_seconds()) if oldest else None,
        messages=messages,
    )
