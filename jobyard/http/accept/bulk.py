"""The body of a bulk call: a JSON array, or one JSON payload a line (NDJSON)."""

from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from jobyard.http.accept.body import NDJSON, decode, media_type, refuse_what_is_no_json
from jobyard.http.errors import Problem, invalid
from jobyard.http.parts import Parts
from jobyard.tasks.definition import AnyDefinition


def payloads_of(task: AnyDefinition, request: Request, body: bytes, parts: Parts) -> Sequence[BaseModel]:
    """Return every payload; raises a `Problem` that names the place and field of each wrong one.

    All or nothing: where one payload is wrong, none is accepted.
    """
    payloads = (_lines if media_type(request) in NDJSON else _array)(task, body, parts)
    if not payloads:
        raise _problem("the body holds no payload")
    return payloads


def _array(task: AnyDefinition, body: bytes, parts: Parts) -> Sequence[BaseModel]:
    return decode(_array_of(task, parts.settings.api.max_bulk_jobs).validate_json, body, parts)


@cache
def _array_of(task: AnyDefinition, most: int) -> TypeAdapter[list[BaseModel]]:
    # The length is a rule of the list, so that a million payloads are not built only to be counted.
    array = Annotated[list[task.payload_model], Field(max_length=most)]  # type: ignore[name-defined]
    return TypeAdapter(array)


def _lines(task: AnyDefinition, body: bytes, parts: Parts) -> Sequence[BaseModel]:
    lines = [(number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
    if len(lines) > parts.settings.api.max_bulk_jobs:
        raise _problem(f"{len(lines)} payloads, and at most {parts.settings.api.max_bulk_jobs} in one call")
    payloads: list[BaseModel] = []
    errors: list[dict[str, Any]] = []
    for number, line in lines:
        refuse_what_is_no_json(line, f"line {number}")
        try:
            payloads.append(task.payload_model.model_validate_json(line, context={"files": parts.files}))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            errors += [
                {"loc": (f"line {number}", *detail["loc"]), "msg": detail["msg"]} for detail in details
            ]
    if errors:
        raise invalid(errors)
    return payloads


def _problem(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", field="body")
