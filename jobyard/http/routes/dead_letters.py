"""Dead letters: jobs that run again only when a caller replays them."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobyard.http.accept.body import read_model
from jobyard.http.access import TheActor
from jobyard.http.filters import (
    PAYLOAD_PARAMETER,
    BodyFilter,
    FilterQuery,
    PageQuery,
    PayloadConditions,
    as_filter,
)
from jobyard.http.operation import WITH_BODY, body_of, problems
from jobyard.http.parts import Parts, TheParts
from jobyard.http.routes.jobs import Reason
from jobyard.http.routes.replays import ReplayView, replay_view
from jobyard.http.schemas import Id, JobList, View
from jobyard.http.searches import run_search
from jobyard.jobs.job import Cause, Status
from jobyard.jobs.ledger.dead_letters import causes
from jobyard.jobs.reading.search import list_jobs, matching_ids

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])

MOST_AT_ONCE = 100_000


class DeadLetterQuery(FilterQuery, PageQuery):
    """A filter for the list of dead letters, and which page of it to return."""


class Selection(BaseModel):
    """Selects dead letters: those in `ids`, or the newest `limit` that match `filter`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[UUID, ...] | None = Field(None, min_length=1, max_length=MOST_AT_ONCE)
    filter: BodyFilter | None = None
    limit: int = Field(MOST_AT_ONCE, ge=1, le=MOST_AT_ONCE)

    @model_validator(mode="after")
    def _names_one_way(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or filter (an empty filter, {}, means every dead letter)")
        return self


class ReplayOrder(Selection):
    """Which dead letters to replay; a canary replays in three stages and stops when a job dies again."""

    canary: bool = False
    reason: Reason | None = None


class DiscardOrder(Selection):
    """Which dead letters to discard, and why."""

    reason: Reason


class Discarded(BaseModel):
    """The ids of the jobs that were discarded; the others were not dead."""

    discarded: list[Id]


class CauseView(View):
    """Dead jobs of one task with the same cause and error type; `example` is the latest of them."""

    task: str
    cause: Cause
    type: str
    count: int
    first_at: datetime
    last_at: datetime
    example: Id
    message: str


@router.get("", operation_id="list_dead_letters", openapi_extra=PAYLOAD_PARAMETER)
async def search(
    parts: TheParts, query: Annotated[DeadLetterQuery, Query()], payload: PayloadConditions
) -> JobList:
    """Dead letters, newest first, each with its failure."""
    job_filter = as_filter(query, Status.DEAD, payload=payload)
    return await run_search(
        lambda: JobList.of(list_jobs(parts.ledger.database, job_filter, query.limit, query.cursor))
    )


@router.get("/causes", operation_id="list_causes_of_dead_letters")
async def list_causes(parts: TheParts, query: Annotated[FilterQuery, Query()]) -> list[CauseView]:
    """Why jobs are dead, the most frequent cause first; its fields can be used as a filter for a replay."""
    groups = await run_search(causes, parts.ledger.database, as_filter(query, Status.DEAD))
    return [CauseView.model_validate(group) for group in groups]


@router.post(
    "/replay",
    operation_id="replay_dead_letters",
    status_code=HTTPStatus.ACCEPTED,
    responses=problems(*WITH_BODY),
    openapi_extra=body_of(ReplayOrder),
)
async def replay(request: Request, parts: TheParts, actor: TheActor) -> ReplayView:
    """Order a replay of many dead letters, which are released at a bounded rate."""
    order = await read_model(request, ReplayOrder, parts.settings.api.max_bulk_bytes, parts)
    return await run_search(_replay, order, actor, parts)


@router.post(
    "/discard",
    operation_id="discard_dead_letters",
    responses=problems(*WITH_BODY),
    openapi_extra=body_of(DiscardOrder),
)
async def discard_many(request: Request, parts: TheParts, actor: TheActor) -> Discarded:
    """Discard dead letters: they stay in the ledger, cancelled, with their failure and the reason."""
    order = await read_model(request, DiscardOrder, parts.settings.api.max_bulk_bytes, parts)
    return await run_search(_discard, order, actor, parts)


def _replay(order: ReplayOrder, actor: str, parts: Parts) -> ReplayView:
    replay_id, released = parts.ledger.replay_many(
        _selected(order, parts), is_canary=order.canary, reason=order.reason, actor=actor
    )
    parts.publisher.publish(released)
    return replay_view(parts, replay_id)


def _discard(order: DiscardOrder, actor: str, parts: Parts) -> Discarded:
    ids = _selected(order, parts)
    return Discarded(discarded=parts.ledger.discard_many(ids, order.reason, actor=actor))


def _selected(selection: Selection, parts: Parts) -> list[str]:
    if selection.filter is not None:
        job_filter = as_filter(selection.filter, Status.DEAD, payload=selection.filter.payload)
        return matching_ids(parts.ledger.database, job_filter, selection.limit)
    return [str(job_id) for job_id in selection.ids or ()]
