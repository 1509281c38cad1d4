"""The fast lane: a plain request for one job goes past ASGI and FastAPI, which cost ten times as much.

It knows only how to say yes. Whatever is not plain (an option, a header that asks for something, a body that
the task refuses, a caller without a key) goes to FastAPI as it came, and so does everything that is no such
request: models, errors and rights are those of `jobyard/http/routes/tasks.py`, and the document is theirs.
`jobyard/http/fast_lane/protocol.py` is what asks here.
"""

from asyncio import Future
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Final, NamedTuple, NoReturn

import pydantic_core
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from jobyard.http.accept.body import JSON, may_hold_no_numbers
from jobyard.http.accept.respond import just_accepted
from jobyard.http.access import has_key, strange_names
from jobyard.http.errors import as_problem, fault
from jobyard.http.parts import Parts
from jobyard.http.routes.tasks import doors
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.job import Acceptance, NewJob, accepted_at
from jobyard.settings.settings import is_loopback
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.options import JobOptions
from jobyard.tasks.registry import load_tasks
from jobyard.tasks.submission import has_large, new_job

Headers = Sequence[tuple[bytes, bytes]]

# Any other header changes nothing about what is asked for.
ASKS_FOR_MORE: Final = frozenset((b"idempotency-key", b"prefer", b"expect", b"content-encoding"))
STATE: Final = "fast_lane"  # where the application's lifespan puts it
MILLISECONDS: Final = 13  # as many characters of an id say when it was made
PLAIN_JSON: Final = JSON.encode()
USUAL: Final = JobOptions()


class _FilesLater:
    """Stands for the files in a payload's validation: to ask the ledger for one takes too long here."""

    def describe(self, file_id: str) -> NoReturn:
        raise ValueError("to be looked up")


CONTEXT: Final = {"files": _FilesLater()}


class FastLane:
    """What is plain, what it asks for, and what is answered."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        tasks = load_tasks()
        self._task_of_path = {f"/v1/tasks/{name}/jobs".encode(): task for name, task in tasks.items()} | {
            path.encode(): task for path, task in doors().items()
        }

    def task_of(self, method: bytes, target: bytes, headers: Headers, client: str) -> AnyDefinition | None:
        """Return the task for which a request with this head plainly asks; header names in lower case."""
        task = self._task_of_path.get(target)
        if task is None or method != b"POST":
            return None
        named = dict(headers)
        is_plain = (
            len(named) == len(headers)
            and named.get(b"content-type") == PLAIN_JSON
            and ASKS_FOR_MORE.isdisjoint(named)
            # Without a length it comes in pieces.
            and int(named.get(b"content-length", 0)) in range(1, self._parts.settings.api.max_body_bytes + 1)
            and self._is_welcome(client, named)
        )
        return task if is_plain else None

    def _is_welcome(self, client: str, headers: Mapping[bytes, bytes]) -> bool:
        if keys := self._parts.keys:
            authorization, api_key = headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")
            return has_key(keys, authorization.decode("latin-1"), api_key.decode("latin-1"))
        if b"x-forwarded-for" in headers:
            return False  # who is asking then is uvicorn's to say
        return _is_local(client, headers.get(b"host", b""), headers.get(b"origin"))

    def job_of(self, task: AnyDefinition, body: bytes) -> NewJob | None:
        """Return the job that a body asks for, or None where that takes a longer look."""
        if may_hold_no_numbers(body):
            return None
        try:
            payload: BaseModel = task.payload_model.model_validate_json(body, context=CONTEXT)
        except ValidationError:
            return None
        new = _usual(task).another(task.dump(payload))
        return None if has_large([new]) else new

    def accept(self, new: NewJob) -> "Future[list[Acceptance]]":
        """Return what is done when the job is durable, or holds the reason why it is not accepted."""
        return self._parts.group_commit.ask([new])

    def answer(self, task: AnyDefinition, new: NewJob) -> bytes:
        """Return the body of the answer about a job that was accepted."""
        return _form(task).filled(new)

    def problem(self, error: BaseException, target: bytes) -> Response:
        """Return the answer for what `accept` holds."""
        problem = as_problem(error) if isinstance(error, JobyardError) else fault()
        scope = {"type": "http", "path": target.decode(), "query_string": b"", "headers": []}
        return problem.response(Request(scope))


@cache
def _usual(task: AnyDefinition) -> NewJob:
    return new_job(task, "", USUAL)


class _Form(NamedTuple):
    """The text of an answer, which is the same for all jobs of a task but for the id and the time."""

    text: str
    job_id: str
    at: str

    def filled(self, new: NewJob) -> bytes:
        return self.text.replace(self.job_id, new.id).replace(self.at, _time_of(new)).encode()


@cache
def _form(task: AnyDefinition) -> _Form:
    some = _usual(task)
    return _Form(pydantic_core.to_json(just_accepted(some)).decode(), some.id, _time_of(some))


def _time_of(new: NewJob) -> str:
    return _in_json(new.id[:MILLISECONDS])


@lru_cache(maxsize=1)
def _in_json(beginning_of_id: str) -> str:
    return pydantic_core.to_json(accepted_at(beginning_of_id)).decode()


@lru_cache(maxsize=256)
def _is_local(client: str, host: bytes, origin: bytes | None) -> bool:
    from_where = origin.decode("latin-1") if origin is not None else None
    return is_loopback(client) and not strange_names(host.decode("latin-1"), from_where)
