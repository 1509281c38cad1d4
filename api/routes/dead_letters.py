"""Dead letters: the jobs that nobody will try again unless told to."""

from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool

from api.body import JSON, decode, read_json_body
from api.cursors import Cursor
from api.deps import TheYard, Yard
from api.document import REFERENCE
from api.routes.jobs import FilterQuery, as_filter
from api.schemas import JobList
from jobs.dead_letters import replay_many
from jobs.job import Status
from jobs.records import list_jobs

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])


class DeadQuery(FilterQuery):
    """What narrows the list of dead letters."""

    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=500)


class ReplayOrder(BaseModel):
    """Which dead letters to replay: those of `ids`, or the newest `limit` that fit `filter`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[UUID, ...] | None = Field(None, min_length=1, max_length=1000)
    filter: FilterQuery | None = None
    limit: int = Field(1000, ge=1, le=1000)

    @model_validator(mode="after")
    def _names_one_way(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or filter (an empty filter, {}, means every dead letter)")
        return self


REPLAY_BODY = {
    "required": True,
    "content": {JSON: {"schema": {"$ref": REFERENCE.format(model=ReplayOrder.__name__)}}},
}


class Refused(BaseModel):
    """A job that was not replayed, and why."""

    id: str
    reason: str


class Replayed(BaseModel):
    """What became of the order."""

    replayed: list[str]
    refused: list[Refused]


@router.get("")
def search(yard: TheYard, query: Annotated[DeadQuery, Query()]) -> JobList:
    """Dead letters, newest first, each with its failure."""
    page = list_jobs(yard.ledger.engine, as_filter(query, Status.DEAD), query.limit, query.cursor)
    return JobList.of(page)


@router.post("/replay", status_code=HTTPStatus.ACCEPTED, openapi_extra={"requestBody": REPLAY_BODY})
async def replay(request: Request, yard: TheYard) -> Replayed:
    """Replay many dead letters; those that cannot be are named with the reason, and change nothing."""
    body = await read_json_body(request, yard.settings.api.max_body_bytes)
    return await run_in_threadpool(_replay, decode(ReplayOrder.model_validate_json, body, yard), yard)


def _replay(order: ReplayOrder, yard: Yard) -> Replayed:
    if order.filter is not None:
        page = list_jobs(yard.ledger.engine, as_filter(order.filter, Status.DEAD), order.limit)
        ids = [job.id for job in page.jobs]
    else:
        ids = [str(job_id) for job_id in dict.fromkeys(order.ids or ())]
    queued, refused = replay_many(yard.ledger, ids)
    yard.publisher.publish(queued)
    return Replayed(
        replayed=[job.id for job in queued],
        refused=[Refused(id=job_id, reason=reason) for job_id, reason in refused.items()],
    )
