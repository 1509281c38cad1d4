"""Replays: the orders to replay many dead letters, and the progress of each."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from jobyard.http.accept.body import read_optional_model
from jobyard.http.access import TheActor
from jobyard.http.operation import WITH_BODY, body_of, problems
from jobyard.http.parts import Parts, TheParts
from jobyard.http.routes.jobs import OptionalReason
from jobyard.http.schemas import Actor, Id, Links, View
from jobyard.jobs.ledger.replay_orders import ReplayStatus, get_replay, list_replays, refusals

router = APIRouter(prefix="/v1/replays", tags=["dead letters"])

MOST_REFUSALS_SHOWN = 100


class Refused(BaseModel):
    """A job that was not replayed, and why."""

    id: Id
    reason: str


class ReplaySummary(View):
    """An order to replay; of the `released` jobs some have `succeeded` and some are `dead_again`."""

    id: Id
    status: ReplayStatus = Field(
        description="stopped: by a person, or automatically when a canary died again."
    )
    is_canary: bool
    stage: int = Field(description="The stage of a canary: 0 is one job, 1 a tenth, 2 the rest.")
    actor: Actor
    reason: str | None
    stopped_by: Actor
    stop_reason: str | None = Field(description="Why; where the keeper did, the job that died and its cause.")
    created_at: datetime
    ended_at: datetime | None
    total: int
    released: int
    succeeded: int
    dead_again: int
    refused: int


class ReplayView(ReplaySummary):
    """An order to replay, with the first jobs that were refused."""

    refusals: list[Refused]
    links: Links


def replay_view(parts: Parts, replay_id: str) -> ReplayView:
    database = parts.ledger.database
    summary = ReplaySummary.model_validate(get_replay(database, replay_id))
    reasons = refusals(database, replay_id, MOST_REFUSALS_SHOWN)
    path = f"/v1/replays/{replay_id}"
    return ReplayView(
        **summary.model_dump(),
        refusals=[Refused(id=job_id, reason=reason) for job_id, reason in reasons.items()],
        links={"self": path, "stop": f"{path}/stop"},
    )


@router.get("", operation_id="list_replays")
def list_all(parts: TheParts, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[ReplaySummary]:
    """The latest orders, newest first."""
    return [ReplaySummary.model_validate(order) for order in list_replays(parts.ledger.database, limit)]


@router.get("/{replay_id}", operation_id="get_replay", responses=problems(404))
def show(replay_id: UUID, parts: TheParts) -> ReplayView:
    """One order, and the jobs that were refused."""
    return replay_view(parts, str(replay_id))


@router.post(
    "/{replay_id}/stop",
    operation_id="stop_replay",
    responses=problems(404, *WITH_BODY),
    openapi_extra=body_of(OptionalReason, required=False),
)
async def stop(replay_id: UUID, request: Request, parts: TheParts, actor: TheActor) -> ReplayView:
    """Stop an order: no more of its jobs are released, and those already released go on.

    An order that has ended stays as it is.
    """
    reason = (await read_optional_model(request, OptionalReason, parts)).reason
    return await run_in_threadpool(_stop, str(replay_id), reason, actor, parts)


def _stop(replay_id: str, reason: str | None, actor: str, parts: Parts) -> ReplayView:
    parts.ledger.stop_replay(replay_id, reason, actor=actor)
    return replay_view(parts, replay_id)
