"""Workers: which have announced themselves, and which are no longer live."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from jobyard.http.parts import TheParts
from jobyard.jobs.reading.living_workers import list_workers

router = APIRouter(prefix="/v1/workers", tags=["workers"])


class WorkerView(BaseModel):
    """A worker, as in its last announcement."""

    name: str
    pid: int
    pool: str
    concurrency: int
    queues: list[str]
    started_at: datetime
    seen_at: datetime
    is_live: bool = Field(description="Whether it announced itself within the last lease.")


@router.get("", operation_id="list_workers")
def list_all(parts: TheParts) -> list[WorkerView]:
    """Every worker that announced itself in the last hour."""
    known = list_workers(parts.ledger.database, parts.settings.worker.lease)
    return [WorkerView(**{**vars(worker), "queues": worker.queues.split(",")}) for worker in known]
