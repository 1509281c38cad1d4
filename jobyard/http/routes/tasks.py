"""Submitting jobs: a typed endpoint for each task, its bulk endpoint, and the short paths."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from jobyard.http.accept.body import NDJSON, payload_of, read_json_body
from jobyard.http.accept.bulk import payloads_of
from jobyard.http.accept.large_bodies import run_for_body
from jobyard.http.accept.respond import AcceptRequest, accept_bulk, accept_job
from jobyard.http.openapi import payload_reference
from jobyard.http.parts import TheParts
from jobyard.http.schemas import BulkAccepted, JobDetail, JobView
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


@router.get("/v1/tasks")
async def list_tasks() -> list[dict[str, Any]]:
    """Every task whose jobs can be handed in, with the schema of its payload."""
    return [_describe(task) for task in public_tasks().values()]


def _describe(task: AnyDefinition) -> dict[str, Any]:
    declared = task.declaration
    return {
        "name": task.name,
        "aliases": task.aliases,
        "description": _description(task),
        "queue": declared.queue,
        "priority": declared.priority,
        "max_attempts": task.policy.max_attempts,
        "time_limit": declared.time_limit,
        "payload_schema": task.payload_model.model_json_schema(),
        "links": {"submit": f"/v1/tasks/{task.name}/jobs"},
    }


def _description(task: AnyDefinition) -> str:
    return task.doc


def tasks_by_short_path() -> dict[str, AnyDefinition]:
    """Return the application's tasks that have a short path, by path; raises `SettingsError`."""
    application = get_application()
    paths: Mapping[str, str] = application.load(application.doors, "DOORS", {})
    tasks = public_tasks()
    if unknown := sorted(set(paths.values()) - tasks.keys()):
        raise SettingsError(f"{application.doors} names {unknown[0]!r}, which is no task of this application")
    return {path: tasks[name] for path, name in paths.items()}


def task_router() -> APIRouter:
    """Return the endpoints of every loaded task."""
    typed = APIRouter(tags=["tasks"])
    for task in public_tasks().values():
        _add_route(typed, f"/v1/tasks/{task.name}/jobs", _submit_endpoint(task), task, _single_body(task))
        _add_route(
            typed, f"/v1/tasks/{task.name}/jobs/bulk", _bulk_endpoint(task), task, _bulk_body(task), bulk=True
        )
    for path, task in tasks_by_short_path().items():
        _add_route(typed, path, _submit_endpoint(task), task, _single_body(task))
    _add_fallback_routes(typed)
    return typed


def _add_route(
    router: APIRouter,
    path: str,
    endpoint: Endpoint,
    task: AnyDefinition,
    body: dict[str, Any],
    *,
    bulk: bool = False,
) -> None:
    submitted = "many jobs" if bulk else "a job"
    router.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        status_code=HTTPStatus.ACCEPTED,
        response_model=BulkAccepted if bulk else JobView,
        responses={200: {"model": JobDetail, "description": "It ended while you waited."}}
        if not bulk
        else None,
        summary=f"Submit {submitted} of {task.name}",
        description=_description(task),
        operation_id=f"{task.name}{path}".replace("/", "_"),
        openapi_extra={"requestBody": body},
    )


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


def _bulk_endpoint(task: AnyDefinition) -> Endpoint:
    async def create_many(
        request: Request, parts: TheParts, options: Options, idempotency_key: BulkIdempotencyKey = None
    ) -> Response:
        body = await read_json_body(request, parts.settings.api.max_bulk_bytes, also=NDJSON)
        payloads = await run_for_body(len(body), payloads_of, task, request, body, parts)
        return await accept_bulk(AcceptRequest(task, options, idempotency_key), payloads, parts)

    return create_many


def _add_fallback_routes(router: APIRouter) -> None:
    # For names without a route of their own: an alias, a task of another version, or a mistake.
    async def by_alias(
        task: str,
        request: Request,
        parts: TheParts,
        options: Options,
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Response:
        return await _submit_endpoint(find_public_task(task))(
            request, parts, options, idempotency_key, prefer
        )

    async def bulk_by_alias(
        task: str,
        request: Request,
        parts: TheParts,
        options: Options,
        idempotency_key: BulkIdempotencyKey = None,
    ) -> Response:
        return await _bulk_endpoint(find_public_task(task))(request, parts, options, idempotency_key)

    router.add_api_route("/v1/tasks/{task}/jobs", by_alias, methods=["POST"], include_in_schema=False)
    router.add_api_route(
        "/v1/tasks/{task}/jobs/bulk", bulk_by_alias, methods=["POST"], include_in_schema=False
    )


def _single_body(task: AnyDefinition) -> dict[str, Any]:
    schema = payload_reference(task.payload_model)
    example = next(iter(task.payload_schema.get("examples", ())), None)
    content: dict[str, Any] = {"schema": schema} | ({"example": example} if example else {})
    return {"required": True, "content": {"application/json": content}}


def _bulk_body(task: AnyDefinition) -> dict[str, Any]:
    schema = payload_reference(task.payload_model)
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "array", "items": schema}},
            "application/x-ndjson": {"schema": {"type": "string", "description": "One payload per line."}},
        },
    }
