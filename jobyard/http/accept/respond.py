"""From a checked payload to the answer: accepted by the group commit, and waited for where that is wanted."""

from collections.abc import Sequence
from hashlib import sha256
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from jobyard.http.commit.waiting import wanted_wait
from jobyard.http.errors import Problem
from jobyard.http.parts import Parts
from jobyard.http.schemas import BulkAccepted, JobDetail, JobView, job_links
from jobyard.http.whole_job import shown_whole
from jobyard.jobs.errors import IdempotencyConflictError
from jobyard.jobs.job import Acceptance, NewJob, Status, Verdict, accepted_at
from jobyard.jobs.ledger.dead_letters import interventions
from jobyard.jobs.reading.job_queries import get_attempts, get_job
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.options import JobOptions
from jobyard.tasks.submission import checked_in, has_large, new_job, new_jobs


class Asked(NamedTuple):
    """What a request says besides its payload."""

    task: AnyDefinition
    options: JobOptions
    idempotency_key: str | None
    prefer: str | None


async def accept_one(asked: Asked, payload: BaseModel, parts: Parts) -> Response:
    """Commit one job: 202 with the job, or 200 where it ended within the time of `Prefer: wait`."""
    seconds = wanted_wait(asked.prefer, parts.settings.api.max_wait.total_seconds())
    new = new_job(asked.task, asked.task.dump(payload), asked.options, asked.idempotency_key)
    [acceptance] = await _accept([new], parts)
    if acceptance.verdict is Verdict.CONFLICT:
        raise IdempotencyConflictError(asked.idempotency_key or "")
    headers = {"Location": f"/v1/jobs/{acceptance.job_id}"}
    if acceptance.verdict is not Verdict.NEW:
        headers["Jobyard-Duplicate"] = acceptance.verdict
    if seconds:
        headers["Preference-Applied"] = f"wait={seconds:.0f}"
        if await parts.waiting.for_end(acceptance.job_id, seconds):
            return _answer(await run_in_threadpool(detail, parts, acceptance.job_id), HTTPStatus.OK, headers)
    if acceptance.verdict is Verdict.NEW and not seconds:
        return _answer(JobView(**just_accepted(new)), HTTPStatus.ACCEPTED, headers)
    job = await run_in_threadpool(get_job, parts.ledger.database, acceptance.job_id)
    return _answer(JobView.of(job), HTTPStatus.ACCEPTED, headers)


async def accept_bulk(asked: Asked, payloads: Sequence[BaseModel], parts: Parts) -> Response:
    """Commit many jobs in one transaction: all of them or none."""
    if asked.options.unique_key is not None and len(payloads) > 1:
        detail = (
            "one unique_key for many payloads would leave one job of them: leave it out, or send them singly"
        )
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", field="unique_key")
    key = asked.idempotency_key
    new = new_jobs(asked.task, payloads, asked.options) if key is None else _keyed(asked, key, payloads)
    acceptances = await _accept(new, parts)
    if any(acceptance.verdict is Verdict.CONFLICT for acceptance in acceptances):
        raise IdempotencyConflictError(asked.idempotency_key or "")
    ids = [acceptance.job_id for acceptance in acceptances]
    return _answer(BulkAccepted(accepted=len(ids), ids=ids), HTTPStatus.ACCEPTED, {})


async def _accept(new: Sequence[NewJob], parts: Parts) -> list[Acceptance]:
    if has_large(new):
        new = await run_in_threadpool(checked_in, new)
    return await parts.group_commit.accept(new)


def detail(parts: Parts, job_id: str) -> JobDetail:
    """Return a job with all that belongs to it; raises `JobNotFoundError`."""
    database = parts.ledger.database
    job = shown_whole(get_job(database, job_id))
    return JobDetail.of(job, get_attempts(database, job_id), interventions(database, job_id))


def _keyed(asked: Asked, key: str, payloads: Sequence[BaseModel]) -> list[NewJob]:
    # A space is in no key of a caller's own, so these meet none of a single job.
    jobs = [
        new_job(asked.task, asked.task.dump(payload), asked.options, f"{key} {place}")
        for place, payload in enumerate(payloads)
    ]
    whole = sha256("".join(job.request_hash or "" for job in jobs).encode()).hexdigest()
    bulk = jobs[0].id  # of this call, so that a call that repeats it in the same group is not refused with it
    return [job._replace(request_hash=whole, bulk=bulk) for job in jobs]


def just_accepted(new: NewJob) -> dict[str, Any]:
    """Return the fields of a `JobView` for a job as it stands after its acceptance.

    Built from what was committed a moment ago: reading it back would cost every request a query, and checking
    what is right as much as the rest of the fast lane.
    """
    at = accepted_at(new.id)
    return {
        "id": new.id,
        "task": new.task,
        "queue": new.queue,
        "priority": new.priority,
        "status": Status.QUEUED if new.is_due else Status.SCHEDULED,
        "attempt": 0,
        "max_attempts": new.max_attempts,
        "lost": 0,
        "replays": 0,
        "tags": new.tags,
        "unique_key": new.unique_key,
        "parent": new.parent,
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
