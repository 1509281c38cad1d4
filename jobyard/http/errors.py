"""Errors as problem+json (RFC 9457): which field is wrong and what to do. HTTP codes live here alone."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from jobyard.jobs.errors import (
    ClaimCheckError,
    FileNotStoredError,
    FileTooLargeError,
    IdempotencyConflictError,
    IllegalMoveError,
    JobNotFoundError,
    JobPrunedError,
    JobyardError,
    LedgerUnavailableError,
    ObjectStoreError,
    QueueNotFoundError,
    ReplayNotFoundError,
    TaskNotFoundError,
)
from jobyard.jobs.reading.search import BadCursorError

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class Problem(Exception):  # noqa: N818 (RFC 9457's own word)
    """An answer that is not what was asked for; `field` is where the request is wrong."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        kind: str,
        field: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.detail, self.kind, self.headers = status, detail, kind, headers
        self.errors = list(errors) or ([{"field": field, "message": detail}] if field else [])
        super().__init__(detail)

    def response(self, request: Request) -> JSONResponse:
        body: dict[str, Any] = {
            "type": f"urn:jobyard:problem:{self.kind}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "instance": request.url.path,
        }
        if self.errors:
            body["errors"] = self.errors
        return JSONResponse(body, self.status, headers=self.headers, media_type=PROBLEM_JSON)


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem for pydantic's errors: each names its field, or `body` if it is about the whole."""
    named = [{"field": _field(error["loc"]), "message": _message(error)} for error in errors]
    first = named[0]
    more = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    detail = f"{first['field']}: {first['message']}{more}"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", errors=named[:100])


def wrong_option(name: str, message: str) -> Problem:
    """Return the problem for one option of a query."""
    return invalid([{"loc": (name,), "msg": message}])


def _field(location: Sequence[Any]) -> str:
    return ".".join(str(part) for part in location) or "body"


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


_STATUS: Mapping[type[JobyardError], tuple[HTTPStatus, str]] = {
    TaskNotFoundError: (HTTPStatus.NOT_FOUND, "unknown-task"),
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
}
_FIELDS: Mapping[type[JobyardError], str] = {
    TaskNotFoundError: "task",
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
    """Return what an error of ours is over HTTP."""
    if isinstance(error, BadCursorError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), kind="invalid-request", field="cursor")
    kind = next((kind for kind in type(error).__mro__ if kind in _STATUS), None)
    if kind is None:
        raise error
    status, name = _STATUS[kind]
    is_passing = status is HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if is_passing else None
    return Problem(status, str(error), kind=name, field=_FIELDS.get(kind), headers=headers)


def fault() -> Problem:
    """Return what is said where an error is nobody's but ours."""
    detail = "a fault in Jobyard; its log has the whole story"
    # The server ends the connection after a fault, and says so to whoever would send on it again.
    close = {"Connection": "close"}
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, kind="fault", headers=close)


def add_error_handlers(app: FastAPI) -> None:
    """Make every error that the app answers with a problem+json."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return error.response(request)

    async def on_known(request: Request, error: Exception) -> JSONResponse:
        return as_problem(error).response(request)

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # FastAPI puts in front of each field whether it is of the path, the query or a header.
        return invalid([detail | {"loc": detail["loc"][1:]} for detail in error.errors()]).response(request)

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        field, detail = _HINTS.get(status, (None, error.detail))
        kind = status.phrase.lower().replace(" ", "-")
        return Problem(status, detail, kind=kind, field=field, headers=error.headers).response(request)

    async def on_gone(request: Request, _: Exception) -> JSONResponse:
        # Nobody is there to read it, and a traceback in the log would help nobody.
        detail = "the connection ended before the body did"
        return Problem(HTTPStatus.BAD_REQUEST, detail, kind="incomplete", field="body").response(request)

    async def on_unknown(request: Request, _: Exception) -> JSONResponse:
        return fault().response(request)

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(JobyardError, on_known)
    app.add_exception_handler(BadCursorError, on_known)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_gone)
    app.add_exception_handler(Exception, on_unknown)


_HINTS = {
    HTTPStatus.NOT_FOUND: ("path", "there is nothing at this path; GET /docs lists what there is"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method",
        "this path does not take that method; GET /docs lists what there is",
    ),
}
