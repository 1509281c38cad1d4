"""Reads the body of a bulk call: a JSON array, or one JSON payload per line (NDJSON)."""

from collections.abc import Sequence
from functools import cache, partial
from http import HTTPStatus
from io import BytesIO
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import Request
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from jobyard.http.accept.body import NDJSON, check_is_json, decode, media_type
from jobyard.http.accept.many_unknown_fields import refuse_many_unknown_fields
from jobyard.http.errors import MOST_BUILT_ERRORS, MOST_SENT_ERRORS, Problem, details_of, invalid
from jobyard.http.parts import Parts
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.fail_fast import LARGE_JSON_BYTES, fail_fast_in_elements, fail_fast_validator

# Values in one call; pydantic reads a million in half a second, in which no other Python code runs.
MOST_VALUES: Final = 1_000_000


def payloads_of(task: AnyDefinition, request: Request, body: bytes, parts: Parts) -> Sequence[BaseModel]:
    """Return every payload; raises a `Problem` that names the position and field of each wrong one.

    One wrong payload refuses the whole call.
    """
    payloads = (_lines if media_type(request) in NDJSON else _array)(task, body, parts)
    if not payloads:
        raise _problem("the body holds no payload")
    return payloads


def _array(task: AnyDefinition, body: bytes, parts: Parts) -> Sequence[BaseModel]:
    most = parts.settings.api.max_bulk_jobs
    if len(body) <= LARGE_JSON_BYTES:
        return decode(_array_of(task, most).validate_json, body, parts)
    _check_number_of_values(body)
    refuse_many_unknown_fields(task, body, most)
    return decode(partial(_validate_large, task, most), body, parts)


def _validate_large(
    task: AnyDefinition, max_length: int, body: bytes, context: dict[str, Any]
) -> list[BaseModel]:
    """Validate payloads; report one wrong element of each list in them, or else the first wrong payload."""
    each_payload, first_payload = _large_array_of(task, max_length)
    payloads: list[BaseModel]
    try:
        payloads = each_payload.validate_json(body, context=context)
    except ValidationError as error:
        if error.error_count() <= MOST_BUILT_ERRORS:
            raise
        payloads = first_payload.validate_json(body, context=context)
    return payloads


@cache
def _large_array_of(task: AnyDefinition, max_length: int) -> tuple[SchemaValidator, SchemaValidator]:
    # One reports every wrong payload, the other the first.
    schema = _array_of(task, max_length).core_schema
    return fail_fast_in_elements(schema), fail_fast_validator(schema)


@cache
def _array_of(task: AnyDefinition, max_length: int) -> TypeAdapter[list[BaseModel]]:
    # The list's type limits its length, so that pydantic does not build a million payloads to count them.
    array = Annotated[list[task.payload_model], Field(max_length=max_length)]  # type: ignore[name-defined]
    return TypeAdapter(array)


def _lines(task: AnyDefinition, body: bytes, parts: Parts) -> Sequence[BaseModel]:
    most = parts.settings.api.max_bulk_jobs
    # One by one, because a body of 32 MB may be 16 million lines.
    numbered = ((number, line) for number, line in enumerate(BytesIO(body), 1) if line.strip())
    lines = list(islice(numbered, most + 1))
    if len(lines) > most:
        raise _problem(f"too many payloads: at most {most} in one call")
    payloads: list[BaseModel] = []
    errors: list[dict[str, Any]] = []
    for number, line in lines:
        check_is_json(line, f"line {number}")
        if len(line) > LARGE_JSON_BYTES:
            _check_number_of_values(line, f"line {number}")
            refuse_many_unknown_fields(task, line, location=(f"line {number}",))
        try:
            payloads.append(task.validate_json(line, {"files": parts.files}))
        except ValidationError as error:
            errors += [{**detail, "loc": (f"line {number}", *detail["loc"])} for detail in details_of(error)]
            if len(errors) >= MOST_SENT_ERRORS:
                break
    if errors:
        raise invalid(errors)
    return payloads


def _check_number_of_values(body: bytes, field: str = "body") -> None:
    """Raise a 422 `Problem` for so many values that to read them would hold other requests up for long."""
    # Each value but the first follows one of these, and texts have few of them.
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise _problem(f"holds more than {MOST_VALUES} values: send it in several calls", field)


def _problem(detail: str, field: str = "body") -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", field=field)
