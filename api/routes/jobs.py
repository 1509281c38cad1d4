"""Jobs: find them, read them, cancel and replay them."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.accepting import detail
from api.cursors import Cursor
from api.deps import TheYard
from api.errors import Problem
from api.schemas import JobDetail, JobList, JobView
from api.waiting import wanted_wait
from config.queues import Queue
from jobs.job import Status
from jobs.records import JobFilter, get_job, list_jobs
from tasks.options import Tag

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Name = Annotated[str, Field(max_length=200, pattern=r"^[\x21-\x7e]+$")]


class FilterQuery(BaseModel):
    """What narrows a list of jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Name | None = None
    queue: Queue | None = None
    tag: Tag | None = None
    since: AwareDatetime | None = Field(None, description="Accepted at this time or later.")
    until: AwareDatetime | None = Field(None, description="Accepted before this time.")


class ListQuery(FilterQuery):
    """What narrows a list, and which part of it is wanted."""

    status: tuple[Status, ...] = ()
    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=500)


def as_filter(query: FilterQuery, *status: Status) -> JobFilter:
    return JobFilter(
        status=status, task=query.task, queue=query.queue, tag=query.tag, since=query.since, until=query.until
    )


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


@router.post("/{job_id}/replay", status_code=HTTPStatus.ACCEPTED)
def replay(job_id: JobIdPath, yard: TheYard) -> JobView:
    """Run a dead job again, with its history; 409 for one that is not dead."""
    yard.publisher.publish([yard.ledger.replay(job_id)])
    return JobView.of(get_job(yard.ledger.engine, job_id))
