"""Queues: how much waits, how long, and what the broker says of it."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from jobyard.http.parts import TheParts
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import Status
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.jobs.reading.job_queries import QueueFigures, queue_figures
from jobyard.jobs.reading.workers import slots_by_queue
from jobyard.settings.queues import Queue

router = APIRouter(prefix="/v1/queues", tags=["queues"])


class QueueView(BaseModel):
    """A queue: counts are the ledger's; `messages` is the broker's, and null where that is silent."""

    name: str
    purpose: str
    kind: str = Field(
        description="What serves it: `threads` for work that waits, `prefork` for what computes."
    )
    slots: int = Field(
        description="How many jobs of it the living workers can run at once; 0 where none serves it."
    )
    queued: int
    scheduled: int
    retrying: int
    running: int
    oldest_queued_at: datetime | None
    oldest_queued_seconds: float | None = Field(description="How long the oldest queued job has waited.")
    messages: int | None


@router.get("")
def list_queues(parts: TheParts) -> list[QueueView]:
    """Every declared queue with its depth, its oldest job, what runs, and whether a worker serves it."""
    figures = queue_figures(parts.ledger.database)
    # Jobs may wait in a queue that was handed over in SQL, before any process has declared it.
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
