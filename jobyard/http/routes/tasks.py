"""Submitting jobs: a typed endpoint for each task, its bulk endpoint, and the short paths."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field

from jobyard.http.accept.body import NDJSON, payload_of, read_json_body
from jobyard.http.accept.bulk import payloads_of
from jobyard.http.accept.large_bodies import run_for_body
from jobyard.http.accept.respond import AcceptRequest, accept_bulk, accept_job
from jobyard.http.operation import WITH_BODY, problems
from jobyard.http.parts import TheParts
from jobyard.http.schemas import Links, MaxAttempts
from jobyard.http.task_path import task_path
from jobyard.jobs.retry import shown_max_attempts
from jobyard.settings import SettingsError
from jobyard.settings.application import get_application
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.options import JobOptions, Key
from jobyard.tasks.registry import find_public_task, public_tasks

IdempotencyKey = Annotated[
    Key | None,
    Header(
        alias="Idempotency-Key",
        description="Repeating a request with the same key returns the same job, however often it is sent.",
    ),
]
# Shorter than a single job's key, because each job's position is appended to it.
BulkIdempotencyKey = Annotated[IdempotencyKey, Field(max_length=240)]
Prefer = Annotated[
    str | None,
    Header(alias="Prefer", description="`wait=N`: answer when the job has ended, or after N seconds."),
]
Options = Annotated[JobOptions, Query()]
Endpoint = Callable[..., Awaitable[Response]]

router = APIRouter(tags=["tasks"])


class TaskView(BaseModel):
    """A task, as it was declared."""

    name: str
    aliases: tuple[str, ...] = Field(description="Earlier names, under which it still takes jobs.")
    description: str
    queue: str
    priority: int
    max_attempts: MaxAttempts
    time_limit: float | None = Field(description="In seconds.")
    payload_schema: dict[str, Any] = Field(description="The JSON Schema of its payload.")
    links: Links


@router.get("/v1/tasks", operation_id="list_tasks")
async def list_tasks() -> list[TaskView]:
    """Every task whose jobs can be handed in, with the schema of its payload."""
    return [_describe(task) for task in public_tasks().values()]


def _describe(task: AnyDefinition) -> TaskView:
    declared = task.declaration
    return TaskView(
        name=task.name,
        aliases=task.aliases,
        description=task.doc,
        queue=declared.queue,
        priority=declared.priority,
        max_attempts=shown_max_attempts(task.policy.max_attempts),
        time_limit=declared.time_limit,
        payload_schema=task.payload_model.model_json_schema(),
        links={"submit": task_path(task.name)},
    )


def tasks_by_short_path() -> dict[str, AnyDefinition]:
    """Return the application's tasks that have a short path, by path; raises `SettingsError`."""
    application = get_application()
    paths: Mapping[str, str] = application.load(application.doors, "DOORS", {})
    tasks = public_tasks()
    if unknown := sorted(set(paths.values()) - tasks.keys()):
        raise SettingsError(f"{application.doors} names {unknown[0]!r}, which is no task of this application")
    return {path: tasks[name] for path, name in paths.items()}


class TaskPath(NamedTuple):
    """A path that accepts jobs of a task, as it is written in a URL."""

    path: str
    task: AnyDefinition
    is_bulk: bool = False
    is_short: bool = False


def task_paths() -> Iterator[TaskPath]:
    """Return the paths of every task whose jobs can be handed in."""
    for task in public_tasks().values():
        yield TaskPath(task_path(task.name), task)
        yield TaskPath(f"{task_path(task.name)}/bulk", task, is_bulk=True)
    for path, task in tasks_by_short_path().items():
        yield TaskPath(path, task, is_short=True)


# A name may have slashes, which arrive here as such: a path says from its end what it is. The document has a
# path for each task in the place of these two.
ONE_JOB: Final = "/v1/tasks/{task:path}/jobs"
MANY_JOBS: Final = "/v1/tasks/{task:path}/jobs/bulk"


def task_router() -> APIRouter:
    """Return the endpoints of tasks, which `jobyard/http/openapi` describes for each task on demand."""
    typed = APIRouter(tags=["tasks"], responses=problems(*WITH_BODY))
    typed.add_api_route(MANY_JOBS, _submit_many_by_name, methods=["POST"], status_code=HTTPStatus.ACCEPTED)
    typed.add_api_route(ONE_JOB, _submit_by_name, methods=["POST"], status_code=HTTPStatus.ACCEPTED)
    for path, task in tasks_by_short_path().items():
        typed.add_api_route(path, _submit_endpoint(task), methods=["POST"], status_code=HTTPStatus.ACCEPTED)
    return typed


async def _submit_by_name(
    task: str,
    request: Request,
    parts: TheParts,
    options: Options,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    submit = _submit_endpoint(find_public_task(task))
    return await submit(request, parts, options, idempotency_key, prefer)


def _submit_endpoint(task: AnyDefinition) -> Endpoint:
    async def create(
        request: Request,
        parts: TheParts,
        options: Options,
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Response:
        body = await read_json_body(request, parts.settings.api.max_body_bytes)
        payload = await payload_of(task, body, parts)
        preferences = request.headers.getlist("prefer") if prefer else ()
        return await accept_job(AcceptRequest(task, options, idempotency_key, preferences), payload, parts)

    return create


async def _submit_many_by_name(
    task: str,
    request: Request,
    parts: TheParts,
    options: Options,
    idempotency_key: BulkIdempotencyKey = None,
) -> Response:
    found = find_public_task(task)
    body = await read_json_body(request, parts.settings.api.max_bulk_bytes, also=NDJSON)
    payloads = await run_for_body(len(body), payloads_of, found, request, body, parts)
    return await accept_bulk(AcceptRequest(found, options, idempotency_key), payloads, parts)
