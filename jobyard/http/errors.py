"""Errors as problem+json (RFC 9457), with the wrong field and the fix.

Only this module gives Jobyard's errors their HTTP status codes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from jobyard.http.operation import PROBLEM_JSON
from jobyard.jobs.errors import (
    ClaimCheckError,
    CommitUnknownError,
    FileNotStoredError,
    FileTooLargeError,
    HousekeepingTaskError,
    IdempotencyConflictError,
    IllegalMoveError,
    JobNotFoundError,
    JobPrunedError,
    JobyardError,
    LedgerUnavailableError,
    ObjectStoreError,
    OutcomeUnknownError,
    QueueNotFoundError,
    ReplayNotFoundError,
    TaskNotFoundError,
)
from jobyard.jobs.reading.search import BadCursorError

RETRY_AFTER_SECONDS = 2
# Errors that are sent with one answer, and that are built at most: each takes a kilobyte of memory.
MOST_SENT_ERRORS = 100
MOST_BUILT_ERRORS = 1000
# What stands in a path as it is (RFC 3986, 3.3), besides letters, digits and "-._~".
IN_PATHS: Final = "/:@!$&'()*+,;="


class Problem(Exception):  # noqa: N818 (RFC 9457's own word)
    """An error that is answered as problem+json; `field` names the part of the request that is wrong.

    `job_ids` are the jobs that the request may have made.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        kind: str,
        field: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        job_ids: Sequence[str] = (),
    ) -> None:
        self.status, self.detail, self.kind, self.headers = status, detail, kind, headers
        self.job_ids = list(job_ids)
        self.errors = list(errors) or ([{"field": field, "message": detail}] if field else [])
        super().__init__(detail)

    def response(self, request: Request) -> JSONResponse:
        return self.render({"instance": quote(request.url.path, safe=IN_PATHS)})

    def render(self, more: Mapping[str, str] | None = None) -> JSONResponse:
        """Return the answer, with `more` members of RFC 9457."""
        body: dict[str, Any] = {
            "type": f"urn:jobyard:problem:{self.kind}",
            # Of the type, and not of the status: Python renames its phrases for 413 and 422.
            "title": self.kind.replace("-", " ").capitalize(),
            "status": self.status.value,
            "detail": self.detail,
            **(more or {}),
        }
        if self.errors:
            body["errors"] = self.errors
        if self.job_ids:
            body["ids"] = self.job_ids
        return JSONResponse(body, self.status, headers=self.headers, media_type=PROBLEM_JSON)


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem for pydantic's errors; an error about the whole body has the field `body`."""
    named = [
        {"field": _field(error["loc"]), "message": _message(error)} for error in errors[:MOST_SENT_ERRORS]
    ]
    first = named[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first['field']}: {first['message']}{more}"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", errors=named)


def details_of(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    """Return pydantic's errors, or if they are too many one that says so."""
    if (count := error.error_count()) <= MOST_BUILT_ERRORS:
        return error.errors(include_url=False, include_input=False)
    message = f"{count} fields or elements are wrong, too many to list: compare it with the task's schema"
    return [{"type": "too_many_errors", "loc": (), "msg": message}]


def wrong_option(name: str, message: str) -> Problem:
    """Return the problem for one query option."""
    return invalid([{"loc": (name,), "msg": message}])


def _field(location: Sequence[Any]) -> str:
    return ".".join(str(part) for part in location) or "body"


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    kind = str(error.get("type", ""))
    hints = (hint for beginning, hint in _HOW_TO_WRITE.items() if kind.startswith(beginning))
    return message + next(hints, "")


# By the beginnings of pydantic's types of errors.
_HOW_TO_WRITE: Mapping[str, str] = {
    "time_delta": ": write seconds (90), or ISO 8601 (PT1M30S)",
    "timezone": ": write 2030-01-31T12:00:00Z",
    "datetime": ": write 2030-01-31T12:00:00Z",
}


_STATUS: Mapping[type[JobyardError], tuple[HTTPStatus, str]] = {
    TaskNotFoundError: (HTTPStatus.NOT_FOUND, "unknown-task"),
    HousekeepingTaskError: (HTTPStatus.FORBIDDEN, "housekeeping-task"),
    QueueNotFoundError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request"),
    JobNotFoundError: (HTTPStatus.NOT_FOUND, "unknown-job"),
    JobPrunedError: (HTTPStatus.GONE, "pruned-job"),
    FileNotStoredError: (HTTPStatus.NOT_FOUND, "unknown-file"),
    ReplayNotFoundError: (HTTPStatus.NOT_FOUND, "unknown-replay"),
    IllegalMoveError: (HTTPStatus.CONFLICT, "illegal-move"),
    IdempotencyConflictError: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-conflict"),
    FileTooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large"),
    ClaimCheckError: (HTTPStatus.SERVICE_UNAVAILABLE, "file-unavailable"),
    ObjectStoreError: (HTTPStatus.SERVICE_UNAVAILABLE, "file-unavailable"),
    LedgerUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "ledger-unavailable"),
    CommitUnknownError: (HTTPStatus.SERVICE_UNAVAILABLE, "outcome-unknown"),
    OutcomeUnknownError: (HTTPStatus.SERVICE_UNAVAILABLE, "outcome-unknown"),
}
_FIELDS: Mapping[type[JobyardError], str] = {
    TaskNotFoundError: "task",
    HousekeepingTaskError: "task",
    QueueNotFoundError: "queue",
    JobNotFoundError: "job_id",
    JobPrunedError: "job_id",
    FileNotStoredError: "file_id",
    ReplayNotFoundError: "replay_id",
    IllegalMoveError: "job_id",
    IdempotencyConflictError: "Idempotency-Key",
    FileTooLargeError: "file",
}


def as_problem(error: Exception) -> Problem:
    """Return the problem for one of Jobyard's errors; raises `error` again where no status is known."""
    if isinstance(error, BadCursorError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), kind="invalid-request", field="cursor")
    kind = next((kind for kind in type(error).__mro__ if kind in _STATUS), None)
    if kind is None:
        raise error
    status, name = _STATUS[kind]
    if isinstance(error, OutcomeUnknownError):
        # Without Retry-After: a client that obeys it by itself would hand the jobs in twice.
        return Problem(status, str(error), kind=name, job_ids=error.job_ids)
    is_temporary = status is HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if is_temporary else None
    return Problem(status, str(error), kind=name, field=_FIELDS.get(kind), headers=headers)


def internal_error() -> Problem:
    """Return the 500 problem for an error that the caller did not cause."""
    detail = "an internal error of Jobyard; its log has the traceback"
    # The server closes the connection after such an error, and this header tells the client so.
    close = {"Connection": "close"}
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, kind="fault", headers=close)


def _with_plus_hint(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    # In a query a plus means a space, and so `+02:00` comes as ` 02:00`.
    time, space, zone = str(detail["input"]).rpartition(" ")
    try:
        datetime.fromisoformat(f"{time}+{zone}")
    except ValueError:
        return detail
    if not space or "T" not in time.upper():
        return detail
    hint = f"; a + in a query is written %2B: {time}%2B{zone}"
    return {"loc": detail["loc"], "msg": detail["msg"] + hint}


def add_error_handlers(app: FastAPI) -> None:
    """Make the app answer every error with problem+json."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return error.response(request)

    async def on_jobyard_error(request: Request, error: Exception) -> JSONResponse:
        return as_problem(error).response(request)

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # FastAPI puts "path", "query" or "header" in front of each field's name.
        details = [_with_plus_hint(detail | {"loc": detail["loc"][1:]}) for detail in error.errors()]
        return invalid(details).response(request)

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        field, detail = _HINTS.get(status, (None, error.detail))
        kind = status.phrase.lower().replace(" ", "-")
        return Problem(status, detail, kind=kind, field=field, headers=error.headers).response(request)

    async def on_disconnect(request: Request, _: Exception) -> JSONResponse:
        # The client is gone and cannot read this answer; without it the log would get a useless traceback.
        detail = "the connection ended before the body did"
        return Problem(HTTPStatus.BAD_REQUEST, detail, kind="incomplete", field="body").response(request)

    async def on_unknown(request: Request, _: Exception) -> JSONResponse:
        return internal_error().response(request)

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(JobyardError, on_jobyard_error)
    app.add_exception_handler(BadCursorError, on_jobyard_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(Exception, on_unknown)


_HINTS = {
    HTTPStatus.NOT_FOUND: ("path", "there is nothing at this path; GET /docs lists what there is"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method",
        "this path does not take that method; GET /docs lists what there is",
    ),
}
