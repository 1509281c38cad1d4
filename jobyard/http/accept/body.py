"""Reads a request's JSON body, bounded in size and depth, and only with a JSON Content-Type."""

import json
from codecs import BOM_UTF8
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

import pydantic_core
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from jobyard.http.accept.large_bodies import run_for_body
from jobyard.http.accept.many_unknown_fields import refuse_many_unknown_fields
from jobyard.http.errors import Problem, details_of, invalid
from jobyard.http.operation import JSON
from jobyard.http.parts import Parts
from jobyard.jobs.job import Job
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.fail_fast import LARGE_JSON_BYTES
from jobyard.tasks.payload import FILE_ID_FORMAT
from jobyard.tasks.registry import find_public_task

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

NDJSON = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def read_json_body(request: Request, limit_bytes: int, also: tuple[str, ...] = ()) -> bytes:
    """Return the body; raises a 415 or 413 `Problem`.

    Only JSON is read, because a foreign web page can make a browser post a form here without the user.
    """
    _check_says_json(request, also)
    body = await read_limited(request, limit_bytes)
    return body.removeprefix(BOM_UTF8)


def _check_says_json(request: Request, also: tuple[str, ...] = ()) -> None:
    if media_type(request) not in (JSON, *also):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must be JSON and say so: send the header Content-Type: {JSON}",
            kind="unsupported-media-type",
            field="Content-Type",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body must not be compressed: send it as it is, without Content-Encoding",
            kind="unsupported-media-type",
            field="Content-Encoding",
        )


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """Return the body; raises a 413 `Problem` as soon as it is known to be longer than the limit.

    The connection stays open: a client that reads the answer only after it has sent all would see it break.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise too_large(limit_bytes)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(limit_bytes: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {limit_bytes} bytes: send large data as a file (POST /v1/files) and its id",
        kind="too-large",
        field="body",
    )


def check_is_json(body: bytes, field: str = "body") -> None:
    """Raise a 400 `Problem` that says where the body, or a line of it, is not valid JSON."""
    try:
        pydantic_core.from_json(body, allow_inf_nan=False, cache_strings=False)
    except ValueError as error:
        detail = f"{field}: not valid JSON: {error}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail, kind="invalid-json", field=field) from error


def may_contain_nan(body: bytes) -> bool:
    """Tell whether the body may hold NaN or Infinity, which pydantic reads but JSON (RFC 8259) lacks."""
    return b"NaN" in body or b"Infinity" in body


def decode(validate_json: Callable[..., T], body: bytes, parts: Parts) -> T:
    """Return the result of pydantic's `validate_json`; raises a 400 or 422 `Problem` with the field."""
    if may_contain_nan(body):
        check_is_json(body)
    try:
        return validate_json(body, context={"files": parts.files})
    except ValidationError as error:
        details = details_of(error)
        if any(detail["type"] == "json_invalid" for detail in details):
            check_is_json(body)
        raise invalid(details) from error


async def payload_of(task: AnyDefinition, body: bytes, parts: Parts) -> BaseModel:
    """Return the payload in a body, as `decode` does, without blocking other requests."""
    looks_up_files = FILE_ID_FORMAT in str(task.payload_schema)
    if len(body) > LARGE_JSON_BYTES:
        return await run_for_body(len(body), _large_payload_of, task, body, parts)
    if looks_up_files:
        return await run_in_threadpool(decode, task.validate_json, body, parts)
    payload: BaseModel = decode(task.validate_json, body, parts)
    return payload


def _large_payload_of(task: AnyDefinition, body: bytes, parts: Parts) -> BaseModel:
    refuse_many_unknown_fields(task, body)
    payload: BaseModel = decode(task.validate_json, body, parts)
    return payload


async def read_model(request: Request, model: type[Model], limit_bytes: int, parts: Parts) -> Model:
    """Return a body that is not a payload, as `model`; raises a 4xx `Problem` that names the field."""
    return await _as_model(await read_json_body(request, limit_bytes), model, parts)


async def read_optional_model(request: Request, model: type[Model], parts: Parts) -> Model:
    """Return a body as `read_model` does, or the model's defaults where the body is empty."""
    body = await read_limited(request, parts.settings.api.max_body_bytes)
    if not body:
        return model()
    _check_says_json(request)
    return await _as_model(body, model, parts)


async def _as_model(body: bytes, model: type[Model], parts: Parts) -> Model:
    return await run_for_body(
        len(body), decode, model.model_validate_json, body.removeprefix(BOM_UTF8), parts
    )


def dump_edited_payload(job: Job, payload: dict[str, Any], parts: Parts) -> str:
    """Return an edited payload as the job's task writes it; raises a 422 `Problem` that names the field."""
    task = find_public_task(job.task)
    context = {"files": parts.files}
    try:
        model: BaseModel = task.validate_json(json.dumps(payload).encode(), context)
    except ValidationError as error:
        details = [{**detail, "loc": ("payload", *detail["loc"])} for detail in details_of(error)]
        raise invalid(details) from error
    return task.dump(model)
