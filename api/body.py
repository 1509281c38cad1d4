"""Reads a request's JSON body: bounded in size and depth, and only where it says that it is JSON."""

from http import HTTPStatus

import pydantic_core
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from api.deps import Yard
from api.errors import Problem, invalid
from tasks.base import AnyTask
from tasks.payload import FILE_ID_FORMAT

JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def read_json_body(request: Request, limit_bytes: int, also: tuple[str, ...] = ()) -> bytes:
    """Return the body; raises a 415 or 413 `Problem`.

    Only JSON is read: a form is what a stranger's web page could make a browser post here unasked.
    """
    if media_type(request) not in (JSON, *also):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must be JSON and say so: send the header Content-Type: {JSON}",
            kind="unsupported-media-type",
            field="Content-Type",
        )
    return await read_limited(request, limit_bytes)


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """Return the body; raises a 413 `Problem` as soon as it is clear that it is longer than the limit."""
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
        headers={"Connection": "close"},
    )


def refuse_what_is_no_json(body: bytes) -> None:
    """Raise a 400 `Problem` that says where the body stops being JSON."""
    try:
        pydantic_core.from_json(body, allow_inf_nan=False, cache_strings=False)
    except ValueError as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {error}", kind="invalid-json", field="body"
        ) from error


def decode_payload(task: AnyTask, body: bytes, yard: Yard) -> BaseModel:
    """Return the payload in a body; raises a 400 or 422 `Problem` that names the field."""
    if b"NaN" in body or b"Infinity" in body:  # pydantic reads both as numbers; JSON (RFC 8259) has neither
        refuse_what_is_no_json(body)
    try:
        payload: BaseModel = task.payload_model.model_validate_json(body, context={"files": yard.files})
        return payload
    except ValidationError as error:
        if any(detail["type"] == "json_invalid" for detail in error.errors(include_url=False)):
            refuse_what_is_no_json(body)
        raise invalid(error.errors(include_url=False, include_input=False), "body") from error


async def payload_of(task: AnyTask, body: bytes, yard: Yard) -> BaseModel:
    """Return the payload in a body, as `decode_payload` does, without holding up other requests."""
    if FILE_ID_FORMAT in str(task.payload_schema):  # looks into the ledger whether the file is there
        return await run_in_threadpool(decode_payload, task, body, yard)
    return decode_payload(task, body, yard)
