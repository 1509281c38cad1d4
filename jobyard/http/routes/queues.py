"""Queues: how much waits, how long, and what the broker says of it."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from jobyard.http.deps import TheYard
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import Status
from jobyard.jobs.reading.job_queries import QueueFigures, queue_figures
from jobyard.settings.queues import PURPOSES, Queue

router = APIRouter(prefix="/v1/queues", tags=["queues"])


class QueueView(BaseModel):
    """A queue: counts are the ledger's; `messages` is the broker's, and null where that is silent."""

    name: str
    purpose: str
    queued: int
    scheduled: int
    retrying: int
    running: int
    oldest_queued_at: datetime | None
    oldest_queued_seconds: float | None = Field(description="How long the oldest queued job has waited.")
    messages: int | None


@router.get("")
def list_queues(yard: TheYard) -> list[QueueView]:
    """Every queue with its depth, its oldest job and what runs."""
    figures = queue_figures(yard.ledger.engine)
    depths = yard.publisher.depths(Queue)
    empty = QueueFigures({}, None)
    return [_view(queue, figures.get(queue, empty), depths.get(queue)) for queue in Queue]


def _view(queue: Queue, figures: QueueFigures, messages: int | None) -> QueueView:
    oldest = figures.oldest_queued_at
    return QueueView(
        name=queue,
        purpose=PURPOSES[queue],
        queued=figures.counts.get(Status.QUEUED, 0),
        scheduled=figures.counts.get(Status.SCHEDULED, 0),
        retrying=figures.counts.get(Status.RETRYING, 0),
        running=figures.counts.get(Status.RUNNING, 0),
        oldest_queued_at=oldest,
        oldest_queued_seconds=max(0.0, (utc_now() - oldest).total_seconds()) if oldest else None,
        messages=messages,
    )
