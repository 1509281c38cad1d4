"""Commits the jobs of checked payloads, waits for their end if the caller asks for it, and answers."""

from collections.abc import Sequence
from hashlib import sha256
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from jobyard.http.commit.waiting import requested_wait
from jobyard.http.errors import Problem
from jobyard.http.parts import Parts
from jobyard.http.schemas import BulkAccepted, JobDetail, JobView, job_links
from jobyard.http.whole_job import load_whole_job
from jobyard.jobs.errors import IdempotencyConflictError
from jobyard.jobs.job import Acceptance, NewJob, Status, Verdict, accepted_at
from jobyard.jobs.ledger.interventions import interventions
from jobyard.jobs.reading.job_queries import get_attempts, get_job, get_reported_state
from jobyard.jobs.retry import shown_max_attempts
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.options import JobOptions
from jobyard.tasks.submission import has_large_payload, new_job, new_jobs, store_large_payloads


class AcceptRequest(NamedTuple):
    """A request's task and options, without its payload."""

    task: AnyDefinition
    options: JobOptions
    idempotency_key: str | None
    prefer: Sequence[str] = ()


async def accept_job(request: AcceptRequest, payload: BaseModel, parts: Parts) -> Response:
    """Commit one job; answer 202 with the job, or 200 where it ended within the time of `Prefer: wait`."""
    seconds = requested_wait(request.prefer, parts.settings.api.max_wait.total_seconds())
    new = new_job(request.task, request.task.dump(payload), request.options, request.idempotency_key)
    [acceptance] = await _accept([new], parts)
    if acceptance.verdict is Verdict.CONFLICT:
        raise IdempotencyConflictError(request.idempotency_key or "")
    headers = {"Location": f"/v1/jobs/{acceptance.job_id}"}
    if acceptance.verdict is not Verdict.NEW:
        headers["Jobyard-Duplicate"] = acceptance.verdict
    if seconds:
        headers["Preference-Applied"] = f"wait={seconds:.0f}"
        if await parts.job_waiter.wait_for_end(acceptance.job_id, seconds):
            return _answer(await run_in_threadpool(detail, parts, acceptance.job_id), HTTPStatus.OK, headers)
    if acceptance.verdict is Verdict.NEW and not seconds:
        return _answer(JobView(**new_job_fields(new)), HTTPStatus.ACCEPTED, headers)
    job = await run_in_threadpool(get_job, parts.ledger.database, acceptance.job_id)
    return _answer(JobView.of(job), HTTPStatus.ACCEPTED, headers)


async def accept_bulk(request: AcceptRequest, payloads: Sequence[BaseModel], parts: Parts) -> Response:
    """Commit many jobs in one transaction: all of them or none."""
    for option in ("unique_key", "external_id"):
        if getattr(request.options, option) is not None and len(payloads) > 1:
            detail = (
                f"one {option} for many payloads would create one job only: leave it out, or send them singly"
            )
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", field=option)
    key = request.idempotency_key
    new = (
        new_jobs(request.task, payloads, request.options)
        if key is None
        else _jobs_with_keys(request, key, payloads)
    )
    acceptances = await _accept(new, parts)
    if any(acceptance.verdict is Verdict.CONFLICT for acceptance in acceptances):
        raise IdempotencyConflictError(request.idempotency_key or "")
    ids = [acceptance.job_id for acceptance in acceptances]
    return _answer(BulkAccepted(accepted=len(ids), ids=ids), HTTPStatus.ACCEPTED, {})


async def _accept(new: Sequence[NewJob], parts: Parts) -> list[Acceptance]:
    if has_large_payload(new):
        new = await run_in_threadpool(store_large_payloads, new)
    return await parts.group_commit.accept(new)


def detail(parts: Parts, job_id: str) -> JobDetail:
    """Return a job, by either id, with its attempts and interventions; raises `JobNotFoundError`."""
    database = parts.ledger.database
    job = load_whole_job(get_job(database, job_id))
    history = get_attempts(database, job.id), interventions(database, job.id)
    return JobDetail.of(job, *history, get_reported_state(database, job))


def _jobs_with_keys(request: AcceptRequest, key: str, payloads: Sequence[BaseModel]) -> list[NewJob]:
    # A caller's key holds no space, so these keys never equal the key of a single job.
    jobs = [
        new_job(request.task, request.task.dump(payload), request.options, f"{key} {position}")
        for position, payload in enumerate(payloads)
    ]
    request_hash = sha256("".join(job.request_hash or "" for job in jobs).encode()).hexdigest()
    bulk = jobs[0].id  # identifies this call, so that a repeated call in the same group is not refused
    return [job._replace(request_hash=request_hash, bulk=bulk) for job in jobs]


def new_job_fields(new: NewJob) -> dict[str, Any]:
    """Return the fields of a `JobView` for a job that was just accepted.

    They are built from what was just committed: reading it back would cost every request a query, and
    validating the model would cost as much as the rest of the fast lane.
    """
    at = accepted_at(new.id)
    return {
        "id": new.id,
        "task": new.task,
        "queue": new.queue,
        "priority": new.priority,
        "status": Status.QUEUED if new.is_due else Status.SCHEDULED,
        "attempt": 0,
        "max_attempts": shown_max_attempts(new.max_attempts),
        "lost": 0,
        "replays": 0,
        "tags": new.tags,
        "unique_key": new.unique_key,
        "parent": new.parent,
        "external_id": new.external_id,
        "created_at": at,
        "run_at": new.run_at or at + new.delay,
        "expires_at": at + new.expires_in if new.expires_in else None,
        "started_at": None,
        "finished_at": None,
        "worker": None,
        "failure": None,
        "links": job_links(new.id),
    }


def _answer(view: BaseModel, status: HTTPStatus, headers: dict[str, str]) -> Response:
    return Response(view.model_dump_json(), status, headers, media_type=JSONResponse.media_type)
