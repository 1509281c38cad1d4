"""The fast lane: a plain request for one job goes past FastAPI, which costs ten times as much as the job.

It knows only how to say yes. Whatever is not plain (an option, a header that asks for something, a body that
the task refuses, a caller without a key) goes to FastAPI as it came, and so does everything that is no such
request: models, errors and rights are those of `api/routes/tasks.py`, and the document is theirs.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, NoReturn

import pydantic_core
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accepting import just_accepted
from api.body import JSON, may_hold_no_numbers
from api.deps import Yard, has_key, strange_names
from api.errors import Problem, as_problem, fault
from api.routes.tasks import DOORS
from config.settings import is_loopback
from jobs.errors import JobyardError
from jobs.job import NewJob
from tasks.base import AnyTask
from tasks.options import JobOptions
from tasks.registry import load_tasks
from tasks.submission import has_large, new_job

# Any other header changes nothing about what is asked for.
ASKS_FOR_MORE: Final = frozenset((b"idempotency-key", b"prefer", b"expect", b"content-encoding"))
PLAIN_JSON: Final = JSON.encode()
USUAL: Final = JobOptions()


class _FilesLater:
    """Stands for the files in a payload's validation: to ask the ledger for one takes too long here."""

    def describe(self, file_id: str) -> NoReturn:
        raise ValueError("to be looked up")


CONTEXT: Final = {"files": _FilesLater()}


class FastLane:
    """ASGI middleware around the whole application, FastAPI's own middleware included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        tasks = load_tasks()
        self._doors = {f"/v1/tasks/{name}/jobs": task for name, task in tasks.items()} | {
            path: tasks[name] for path, name in DOORS.items() if name in tasks
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send, yard: Yard | None) -> None:
        task = self._doors.get(scope["path"]) if yard is not None and scope["type"] == "http" else None
        if yard is None or task is None or scope["method"] != "POST" or not _is_plain(scope, yard):
            await self._app(scope, receive, send)
            return
        message = await receive()
        new = _wanted(task, message, yard)
        if new is None:
            await self._app(scope, _again(message, receive), send)
            return
        try:
            await yard.intake.accept([new])
        except Exception as error:
            await _problem(error).response(Request(scope))(scope, receive, send)
            if not isinstance(error, JobyardError):
                raise  # and the server writes the whole story into the log
            return
        body = pydantic_core.to_json(just_accepted(new))
        await send(_start(new.id, len(body)))
        await send({"type": "http.response.body", "body": body})


def _problem(error: Exception) -> Problem:
    return as_problem(error) if isinstance(error, JobyardError) else fault()


def _is_plain(scope: Scope, yard: Yard) -> bool:
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    return (
        not scope["query_string"]
        and not scope.get("root_path")
        and len(headers) == len(scope["headers"])
        and headers.get(b"content-type") == PLAIN_JSON
        and ASKS_FOR_MORE.isdisjoint(headers)
        and _is_welcome(scope, headers, yard.keys)
    )


def _is_welcome(scope: Scope, headers: Mapping[bytes, bytes], keys: Sequence[SecretStr]) -> bool:
    if keys:
        authorization, api_key = headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")
        return has_key(keys, authorization.decode("latin-1"), api_key.decode("latin-1"))
    client = scope.get("client")
    return _is_local(client[0] if client else "localhost", headers.get(b"host", b""), headers.get(b"origin"))


@lru_cache(maxsize=256)
def _is_local(client: str, host: bytes, origin: bytes | None) -> bool:
    from_where = origin.decode("latin-1") if origin is not None else None
    return is_loopback(client) and not strange_names(host.decode("latin-1"), from_where)


def _wanted(task: AnyTask, message: Message, yard: Yard) -> NewJob | None:
    """Return the job that the body asks for, or None where that takes a longer look."""
    body: bytes = message.get("body", b"")
    if (
        message["type"] != "http.request"
        or message.get("more_body")
        or len(body) > yard.settings.api.max_body_bytes
    ):
        return None
    if may_hold_no_numbers(body):
        return None
    try:
        payload: BaseModel = task.payload_model.model_validate_json(body, context=CONTEXT)
    except ValidationError:
        return None
    new = new_job(task, task.dump(payload), USUAL)
    return None if has_large([new]) else new


def _again(message: Message, receive: Receive) -> Receive:
    waiting: list[Message] = [message]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _start(job_id: str, length: int) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": HTTPStatus.ACCEPTED.value,
        "headers": [
            (b"location", f"/v1/jobs/{job_id}".encode()),
            (b"content-length", str(length).encode()),
            (b"content-type", PLAIN_JSON),
        ],
    }
