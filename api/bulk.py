"""The body of a bulk call: a JSON array, or one JSON payload a line (NDJSON)."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.body import NDJSON, media_type, refuse_what_is_no_json
from api.deps import Yard
from api.errors import Problem, invalid
from tasks.base import AnyTask


def payloads_of(task: AnyTask, request: Request, body: bytes, yard: Yard) -> Sequence[BaseModel]:
    """Return every payload; raises a `Problem` that names the place and field of each wrong one.

    All or nothing: where one payload is wrong, none is accepted.
    """
    context = {"files": yard.files}
    payloads = _lines(task, body, context) if media_type(request) in NDJSON else _array(task, body, context)
    if not payloads:
        raise _problem("the body holds no payload")
    if len(payloads) > yard.settings.api.max_bulk_jobs:
        raise _problem(f"{len(payloads)} payloads, and at most {yard.settings.api.max_bulk_jobs} in one call")
    return payloads


def _array(task: AnyTask, body: bytes, context: dict[str, Any]) -> Sequence[BaseModel]:
    refuse_what_is_no_json(body)
    adapter: TypeAdapter[list[Any]] = TypeAdapter(list[task.payload_model])  # type: ignore[name-defined]
    try:
        return adapter.validate_json(body, context=context)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), "body") from error


def _lines(task: AnyTask, body: bytes, context: dict[str, Any]) -> Sequence[BaseModel]:
    payloads: list[BaseModel] = []
    errors: list[dict[str, Any]] = []
    for number, line in _numbered(body):
        refuse_what_is_no_json(line)
        try:
            payloads.append(task.payload_model.model_validate_json(line, context=context))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            errors += [
                {"loc": (f"line {number}", *detail["loc"]), "msg": detail["msg"]} for detail in details
            ]
    if errors:
        raise invalid(errors, "body")
    return payloads


def _numbered(body: bytes) -> Iterable[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip())


def _problem(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", field="body")
