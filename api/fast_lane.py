"""The fast lane: a plain request for one job goes past FastAPI, which costs ten times as much as the job.

It knows only how to say yes. Whatever is not plain (an option, a header that asks for something, a body that
the task refuses, a caller without a key) goes to FastAPI as it came, and so does everything that is no such
request: models, errors and rights are those of `api/routes/tasks.py`, and the document is theirs.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NoReturn

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accepting import just_accepted
from api.deps import Yard, has_key, strange_names
from api.errors import as_problem
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
PLAIN_JSON: Final = b"application/json"
# What JSON has not, and pydantic would read.
NO_NUMBERS: Final = (b"NaN", b"Infinity")
USUAL: Final = JobOptions()


class _FilesLater:
    """Stands for the files in a payload's validation: to ask the ledger for one takes too long here."""

    def describe(self, file_id: str) -> NoReturn:
        raise ValueError("to be looked up")


CONTEXT: Final = {"files": _FilesLater()}


class FastLane:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        tasks = load_tasks()
        self._doors = {f"/v1/tasks/{name}/jobs": task for name, task in tasks.items()} | {
            path: tasks[name] for path, name in DOORS.items() if name in tasks
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = self._doors.get(scope["path"]) if scope["type"] == "http" else None
        if task is None or scope["method"] != "POST" or not _is_plain(scope):
            await self._app(scope, receive, send)
            return
        message = await receive()
        yard: Yard = scope["app"].state.yard
        new = _wanted(task, message, yard)
        if new is None:
            await self._app(scope, _again(message, receive), send)
            return
        try:
            await yard.intake.accept([new])
        except JobyardError as error:
            await as_problem(error).response(Request(scope))(scope, receive, send)
            return
        body = just_accepted(new).model_dump_json().encode()
        await send(_start(new.id, len(body)))
        await send({"type": "http.response.body", "body": body})


def _is_plain(scope: Scope) -> bool:
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    return (
        not scope["query_string"]
        and not scope.get("root_path")
        and len(headers) == len(scope["headers"])
        and headers.get(b"content-type") == PLAIN_JSON
        and ASKS_FOR_MORE.isdisjoint(headers)
        and _is_welcome(scope, headers)
    )


def _is_welcome(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    def header(name: bytes) -> str | None:
        value = headers.get(name)
        return value.decode("latin-1") if value is not None else None

    keys = scope["app"].state.yard.settings.api.keys
    if keys:
        return has_key(keys, header(b"authorization") or "", header(b"x-api-key") or "")
    client = scope.get("client")
    return (client is None or is_loopback(client[0])) and not strange_names(
        header(b"host") or "", header(b"origin")
    )


def _wanted(task: AnyTask, message: Message, yard: Yard) -> NewJob | None:
    """Return the job that the body asks for, or None where that takes a longer look."""
    body: bytes = message.get("body", b"")
    if (
        message["type"] != "http.request"
        or message.get("more_body")
        or len(body) > yard.settings.api.max_body_bytes
    ):
        return None
    if any(word in body for word in NO_NUMBERS):
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
