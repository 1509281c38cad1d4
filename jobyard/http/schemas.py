"""The models of the API's answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field

from jobyard.http.cursors import seal
from jobyard.jobs.job import (
    Attempt,
    Cause,
    Failure,
    HeaderValue,
    Intervention,
    InterventionKind,
    Job,
    ReportedState,
    Status,
)
from jobyard.jobs.reading.search import Page
from jobyard.jobs.retry import shown_max_attempts

Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Links = Annotated[
    dict[str, Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]],
    Field(description="Paths of this API."),
]
Actor = Annotated[
    str | None,
    Field(
        description="Who did it: an API key by its fingerprint (`key:1a2b3c4d`), `local` for a caller on "
        "Jobyard's machine where no keys are set, `python:HOST` for a program that calls the ledger itself, "
        "or `keeper`; null for what was done before this was kept."
    ),
]


MaxAttempts = Annotated[
    int | None,
    Field(description="Attempts in all, the first included; null for a job that is tried for ever."),
]


class View(BaseModel):
    model_config = ConfigDict(
        frozen=True, from_attributes=True, json_schema_serialization_defaults_required=True
    )


class FailureView(View):
    """Why the last attempt did not succeed."""

    cause: Cause
    type: str
    message: str


class AttemptView(FailureView):
    """One attempt that did not succeed, with its traceback."""

    attempt: int
    worker: str | None
    started_at: datetime | None
    ended_at: datetime
    traceback: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        failure = attempt.failure
        return cls(
            attempt=attempt.attempt,
            cause=failure.cause,
            type=failure.type,
            message=failure.message,
            traceback=failure.traceback,
            worker=attempt.worker,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
        )


class JobView(View):
    """A job without its payload and result."""

    id: Id
    task: str
    queue: str
    priority: int
    status: Status
    attempt: int = Field(description="Attempts so far; the number of the running one.")
    max_attempts: MaxAttempts
    lost: int = Field(description="How many workers were lost while they ran it.")
    replays: int
    tags: tuple[str, ...]
    unique_key: str | None
    parent: Id | None = Field(description="The job that submitted it.")
    external_id: str | None = Field(description="The caller's own id for it.")
    created_at: datetime
    run_at: datetime
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    failure: FailureView | None
    links: Links

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(**_job_fields(job, cls))


class InterventionView(View):
    """What a person did to the job; `difference` lists the changes of an edited payload."""

    kind: InterventionKind
    at: datetime
    actor: Actor
    reason: str | None
    difference: list[dict[str, Any]] | None


class JobDetail(JobView):
    """A job with its payload, result, attempts that did not succeed, and interventions by people."""

    payload: Any
    result: Any = None
    headers: dict[str, HeaderValue] | None = Field(None, description="Those of the call.")
    time_limit: float | None = Field(
        None, description="In seconds: when an attempt is given up, where the job has limits of its own."
    )
    soft_time_limit: float | None = Field(None, description="In seconds: when an attempt is interrupted.")
    state: str | None = Field(
        None,
        description="The word of its newest attempt for how far it is (`update_state`), if it has said one.",
    )
    progress: Any = Field(None, description="What the attempt has said with it.")
    attempts: list[AttemptView] = []
    interventions: list[InterventionView] = []

    @classmethod
    def of(
        cls,
        job: Job,
        attempts: Sequence[Attempt] = (),
        interventions: Sequence[Intervention] = (),
        reported: ReportedState | None = None,
    ) -> Self:
        return cls(
            **_job_fields(job, JobView),
            payload=_parsed(job.payload),
            result=_parsed(job.result) if job.result is not None else None,
            headers=job.headers,
            time_limit=job.time_limit,
            soft_time_limit=job.soft_time_limit,
            state=reported.state if reported else None,
            progress=_parsed(reported.meta) if reported else None,
            attempts=[AttemptView.of(attempt) for attempt in attempts],
            interventions=[InterventionView.model_validate(intervention) for intervention in interventions],
        )


def _job_fields(job: Job, view: type[BaseModel]) -> dict[str, Any]:
    fields = {name: getattr(job, name) for name in view.model_fields if name not in ("failure", "links")}
    fields["max_attempts"] = shown_max_attempts(job.max_attempts)
    return fields | {"failure": _failure(job.failure), "links": job_links(job.id)}


def _parsed(text: str) -> Any:
    try:
        return pydantic_core.from_json(text)
    except ValueError as error:  # a number of thousands of digits, which SQL has handed in
        return {"unavailable": f"cannot be shown: {error}"}


def _failure(failure: Failure | None) -> FailureView | None:
    return FailureView.model_validate(failure) if failure else None


def job_links(job_id: str) -> dict[str, str]:
    path = f"/v1/jobs/{job_id}"
    return {"self": path} | {name: f"{path}/{name}" for name in ("result", "cancel", "replay", "discard")}


class JobList(View):
    """A page of jobs, newest first; request the next page with `cursor=next_cursor`."""

    jobs: list[JobView]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page) -> Self:
        return cls(jobs=[JobView.of(job) for job in page.jobs], next_cursor=seal(page.next_cursor))


class BulkAccepted(View):
    """The ids of the accepted jobs, in the order of the payloads."""

    accepted: int
    ids: list[Id]


class FileView(View):
    """An uploaded file: give its id to a task."""

    id: Id
    name: str
    media_type: str
    size: int = Field(description="In bytes.")
    sha256: str
    created_at: datetime
    links: Links


class WrongField(BaseModel):
    """A field, an option or a header that is wrong, and why."""

    field: str = Field(description="Its path: `to.0`, `delay`, `Idempotency-Key`; `body` for the whole body.")
    message: str


class ProblemView(BaseModel):
    """An error, after RFC 9457."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="What kind of error: `urn:jobyard:problem:invalid-request`.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong, and what to do, in a sentence.")
    instance: str | None = Field(None, description="The path that was asked for.")
    errors: list[WrongField] = Field([], description="What is wrong, each by itself.")
    ids: list[Id] = Field(
        [],
        description="The jobs to ask for, where it is unknown whether they were accepted "
        "(`urn:jobyard:problem:outcome-unknown`).",
    )
