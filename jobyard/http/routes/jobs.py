"""Jobs: find them, read them, cancel and replay them."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.concurrency import run_in_threadpool

from jobyard.http.accept.body import dump_edited_payload, read_model, read_optional_model
from jobyard.http.accept.respond import detail
from jobyard.http.access import TheActor
from jobyard.http.commit.waiting import requested_wait
from jobyard.http.errors import Problem
from jobyard.http.filters import PAYLOAD_PARAMETER, ListQuery, PayloadConditions, as_filter
from jobyard.http.operation import WITH_BODY, body_of, headers, problems
from jobyard.http.parts import Parts, TheParts
from jobyard.http.schemas import JobDetail, JobList, JobView
from jobyard.http.searches import run_search
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.job import Status
from jobyard.jobs.reading.job_queries import get_job, own_id_of
from jobyard.jobs.reading.search import list_jobs
from jobyard.tasks.options import ExternalId

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EXTERNAL_ID_IN_PATH: Final = r"^[^\x00-\x1f\x7f-\x9f/]+$"
Reason = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]


JobIdPath = Annotated[
    ExternalId,
    Path(
        description="The job's own id, or the `external_id` that its caller gave it. One with a slash in it "
        "is found by `GET /v1/jobs?external_id=`."
    ),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "uuid"},
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": EXTERNAL_ID_IN_PATH},
            ]
        }
    ),
]


def own_id(job_id: JobIdPath, parts: TheParts) -> str:
    """Return the own id of the job in a path; raises `JobNotFoundError`."""
    return own_id_of(parts.ledger.database, job_id)


OwnId = Annotated[str, Depends(own_id)]


@router.get("", operation_id="list_jobs", openapi_extra=PAYLOAD_PARAMETER)
async def search(
    parts: TheParts, query: Annotated[ListQuery, Query()], payload: PayloadConditions
) -> JobList:
    """Jobs, newest first; while `next_cursor` is set there may be more, even after an empty page."""
    job_filter = as_filter(query, *query.status, payload=payload)
    return await run_search(
        lambda: JobList.of(list_jobs(parts.ledger.database, job_filter, query.limit, query.cursor))
    )


@router.get("/{job_id}", operation_id="get_job", responses=problems(404, 410))
def show(job_id: JobIdPath, parts: TheParts) -> JobDetail:
    """One job with its payload, its result and the history of its failures."""
    return detail(parts, job_id)


@router.get(
    "/{job_id}/result",
    operation_id="get_result",
    responses={
        200: {"description": "What the task returned."},
        202: {"model": JobView, "description": "It has not ended yet.", "headers": headers("Retry-After")},
        **problems(404, 409, 410),
    },
)
async def result(
    job_id: JobIdPath, request: Request, parts: TheParts, prefer: Annotated[str | None, Header()] = None
) -> Response:
    """The result alone, as the task returned it; 202 until the job has ended, 409 if it did not succeed."""
    seconds = requested_wait(
        request.headers.getlist("prefer") if prefer else (), parts.settings.api.max_wait.total_seconds()
    )
    job = await run_in_threadpool(get_job, parts.ledger.database, job_id)
    if seconds and not job.status.is_final and await parts.job_waiter.wait_for_end(job.id, seconds):
        job = await run_in_threadpool(get_job, parts.ledger.database, job.id)
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
    text = await run_in_threadpool(get_claim_checks().fetch, job.id, job.result or "null")
    return Response(text, media_type=JSONResponse.media_type)


class OptionalReason(BaseModel):
    """Why a job is cancelled, or an order stopped; may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason | None = None


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    responses=problems(404, 409, 410, *WITH_BODY),
    openapi_extra=body_of(OptionalReason, required=False),
)
async def cancel(job_id: OwnId, request: Request, parts: TheParts, actor: TheActor) -> JobView:
    """Cancel a waiting job; 409 for one that runs or has ended."""
    reason = (await read_optional_model(request, OptionalReason, parts)).reason
    return await run_in_threadpool(_cancel, job_id, reason, actor, parts)


class Mending(BaseModel):
    """A payload that replaces the old one, and the reason; both may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    payload: dict[str, Any] | None = None
    reason: Reason | None = None


class Discarding(BaseModel):
    """Why a dead job is discarded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason


@router.post(
    "/{job_id}/replay",
    operation_id="replay_job",
    status_code=HTTPStatus.ACCEPTED,
    responses=problems(404, 409, 410, *WITH_BODY),
    openapi_extra=body_of(Mending, required=False),
)
async def replay(job_id: OwnId, request: Request, parts: TheParts, actor: TheActor) -> JobView:
    """Run a dead job again, with its history; 409 for one that is not dead.

    A body can replace the payload: the task checks it, and the ledger keeps what has changed.
    """
    mending = await read_optional_model(request, Mending, parts)
    return await run_in_threadpool(_replay, job_id, mending, actor, parts)


@router.post(
    "/{job_id}/discard",
    operation_id="discard_job",
    responses=problems(404, 409, 410, *WITH_BODY),
    openapi_extra=body_of(Discarding),
)
async def discard(job_id: OwnId, request: Request, parts: TheParts, actor: TheActor) -> JobDetail:
    """Discard a dead job: it stays in the ledger, cancelled, with its failure and the reason."""
    reason = (await read_model(request, Discarding, parts.settings.api.max_body_bytes, parts)).reason
    await run_in_threadpool(parts.ledger.discard, job_id, reason, actor=actor)
    return await run_in_threadpool(detail, parts, job_id)


def _cancel(job_id: str, reason: str | None, actor: str, parts: Parts) -> JobView:
    parts.ledger.cancel(job_id, reason, actor=actor)
    return JobView.of(get_job(parts.ledger.database, job_id))


def _replay(job_id: str, mending: Mending, actor: str, parts: Parts) -> JobView:
    database = parts.ledger.database
    payload = None
    if mending.payload is not None:
        payload = dump_edited_payload(get_job(database, job_id), mending.payload, parts)
    parts.publisher.publish([parts.ledger.replay(job_id, payload, mending.reason, actor=actor)])
    return JobView.of(get_job(database, job_id))
