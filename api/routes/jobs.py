"""Jobs: find them, read them, cancel and replay them."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.accepting import detail
from api.body import mended, read_model
from api.cursors import Cursor
from api.deps import TheYard, Yard
from api.document import body_of
from api.errors import Problem
from api.schemas import JobDetail, JobList, JobView
from api.waiting import wanted_wait
from config.queues import Queue
from jobs.job import Cause, Status
from jobs.records import JobFilter, get_job, list_jobs
from tasks.options import Tag

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Reason = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Name = Annotated[str, Field(max_length=200, pattern=r"^[\x21-\x7e]+$")]


class FilterQuery(BaseModel):
    """What narrows a list of jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Name | None = None
    queue: Queue | None = None
    tag: Tag | None = None
    cause: Cause | None = Field(None, description="Why the last attempt did not succeed.")
    error: Name | None = Field(None, description="The class of the last failure: `ValueError`.")
    since: AwareDatetime | None = Field(None, description="Accepted at this time or later.")
    until: AwareDatetime | None = Field(None, description="Accepted before this time.")


class ListQuery(FilterQuery):
    """What narrows a list, and which part of it is wanted."""

    status: tuple[Status, ...] = ()
    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=500)


def as_filter(query: FilterQuery, *status: Status) -> JobFilter:
    narrowing = {name: getattr(query, name) for name in FilterQuery.model_fields}
    return JobFilter(status=status, **narrowing)


def job_id_of(job_id: UUID) -> str:
    # Jobs are known by the one written form that they were given out in.
    return str(job_id)


JobIdPath = Annotated[str, Depends(job_id_of)]


@router.get("")
def search(yard: TheYard, query: Annotated[ListQuery, Query()]) -> JobList:
    """Jobs, newest first."""
    page = list_jobs(yard.ledger.engine, as_filter(query, *query.status), query.limit, query.cursor)
    return JobList.of(page)


@router.get("/{job_id}")
def show(job_id: JobIdPath, yard: TheYard) -> JobDetail:
    """One job with its payload, its result and the history of its failures."""
    return detail(yard, job_id)


@router.get("/{job_id}/result", responses={202: {"model": JobView, "description": "It has not ended yet."}})
async def result(
    job_id: JobIdPath, yard: TheYard, prefer: Annotated[str | None, Header()] = None
) -> Response:
    """The result alone, as the task returned it; 202 while there is none, 409 where there will be none."""
    seconds = wanted_wait(prefer, yard.settings.api.max_wait.total_seconds())
    job = await run_in_threadpool(get_job, yard.ledger.engine, job_id)
    if seconds and not job.status.is_final and await yard.waiting.for_end(job_id, seconds):
        job = await run_in_threadpool(get_job, yard.ledger.engine, job_id)
    if not job.status.is_final:
        return Response(
            JobView.of(job).model_dump_json(),
            HTTPStatus.ACCEPTED,
            {"Retry-After": "1"},
            media_type=JSONResponse.media_type,
        )
    if job.status is not Status.SUCCEEDED:
        why = f": {job.failure.message}" if job.failure else ""
        raise Problem(HTTPStatus.CONFLICT, f"job {job_id} is {job.status}{why}", kind="no-result")
    return Response(job.result, media_type=JSONResponse.media_type)


@router.post("/{job_id}/cancel")
def cancel(job_id: JobIdPath, yard: TheYard) -> JobView:
    """Cancel a job that waits; 409 for one that runs or has ended."""
    yard.ledger.cancel(job_id)
    return JobView.of(get_job(yard.ledger.engine, job_id))


class Mending(BaseModel):
    """A payload that takes the place of the old one, and why; both may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    payload: dict[str, Any] | None = None
    reason: Reason | None = None


class Discarding(BaseModel):
    """Why a dead job is given up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason


@router.post(
    "/{job_id}/replay", status_code=HTTPStatus.ACCEPTED, openapi_extra=body_of(Mending, required=False)
)
async def replay(job_id: JobIdPath, request: Request, yard: TheYard) -> JobView:
    """Run a dead job again, with its history; 409 for one that is not dead.

    With a body its payload is mended first: checked as the task checks it, and what changed is kept.
    """
    mending = Mending()
    if request.headers.get("content-type") or request.headers.get("content-length", "0") != "0":
        mending = await read_model(request, Mending, yard.settings.api.max_body_bytes, yard)
    return await run_in_threadpool(_replay, job_id, mending, yard)


@router.post("/{job_id}/discard", openapi_extra=body_of(Discarding))
async def discard(job_id: JobIdPath, request: Request, yard: TheYard) -> JobDetail:
    """Give a dead job up for good: it stays in the ledger, cancelled, with its failure and the reason."""
    reason = (await read_model(request, Discarding, yard.settings.api.max_body_bytes, yard)).reason
    await run_in_threadpool(yard.ledger.discard, job_id, reason)
    return await run_in_threadpool(detail, yard, job_id)


def _replay(job_id: str, mending: Mending, yard: Yard) -> JobView:
    engine = yard.ledger.engine
    payload = mended(get_job(engine, job_id), mending.payload, yard) if mending.payload is not None else None
    yard.publisher.publish([yard.ledger.replay(job_id, payload, mending.reason)])
    return JobView.of(get_job(engine, job_id))
