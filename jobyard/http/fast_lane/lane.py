"""The fast lane: a plain request for one job bypasses ASGI and FastAPI, which cost ten times as much.

It only accepts. Any other request (with an option, a special header, a body that the task refuses, or no key)
goes to FastAPI unchanged, so `jobyard/http/routes/tasks.py` alone defines models, errors, rights and the
OpenAPI document. `jobyard/http/fast_lane/protocol.py` calls this module.
"""

from asyncio import Future
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Final, NamedTuple, NoReturn
from urllib.parse import unquote

import pydantic_core
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from jobyard.http.accept.body import may_contain_nan
from jobyard.http.accept.respond import new_job_fields
from jobyard.http.access import has_key, non_local_headers
from jobyard.http.errors import as_problem, internal_error
from jobyard.http.operation import JSON
from jobyard.http.parts import Parts
from jobyard.http.routes.tasks import task_paths
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.job import Acceptance, NewJob, accepted_at
from jobyard.settings.settings import is_loopback
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.fail_fast import LARGE_JSON_BYTES
from jobyard.tasks.options import JobOptions
from jobyard.tasks.submission import has_large_payload, new_job

Headers = Sequence[tuple[bytes, bytes]]

# A request with one of these headers is not plain; any other header does not change the answer.
HEADERS_OF_OTHER_REQUESTS: Final = frozenset((b"idempotency-key", b"prefer", b"expect", b"content-encoding"))
STATE: Final = "fast_lane"  # the key under which the application's lifespan passes the fast lane
TIME_CHARACTERS: Final = 13  # the first characters of an id hold its time, in milliseconds
PLAIN_JSON: Final = JSON.encode()
DEFAULT_OPTIONS: Final = JobOptions()


class _FilesNotLookedUp:
    """Replaces the file store in a payload's validation, because a query of the ledger takes too long."""

    def describe(self, file_id: str) -> NoReturn:
        raise ValueError("the file has to be looked up")


CONTEXT: Final = {"files": _FilesNotLookedUp()}


class FastLane:
    """Decides which requests are plain, accepts their jobs, and builds their answers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # As an exact client writes them; any other way to write a path goes to FastAPI.
        self._task_of_path = {path.encode(): task for path, task, is_bulk, _ in task_paths() if not is_bulk}

    def task_of(self, method: bytes, target: bytes, headers: Headers, client: str) -> AnyDefinition | None:
        """Return the task of a plain request, or None for any other; header names are in lower case."""
        task = self._task_of_path.get(target)
        if task is None or task.router is not None or method != b"POST":
            return None
        named = dict(headers)
        is_plain = (
            len(named) == len(headers)
            and named.get(b"content-type") == PLAIN_JSON
            and HEADERS_OF_OTHER_REQUESTS.isdisjoint(named)
            # Without a Content-Length the body is chunked.
            and int(named.get(b"content-length", 0)) in range(1, self._parts.settings.api.max_body_bytes + 1)
            and self._may_call(client, named)
        )
        return task if is_plain else None

    def _may_call(self, client: str, headers: Mapping[bytes, bytes]) -> bool:
        if keys := self._parts.keys:
            authorization, api_key = headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")
            return has_key(keys, authorization.decode("latin-1"), api_key.decode("latin-1"))
        if b"x-forwarded-for" in headers:
            return False  # uvicorn works out the caller's address then
        return _is_local(client, headers.get(b"host", b""), headers.get(b"origin"))

    def job_of(self, task: AnyDefinition, body: bytes) -> NewJob | None:
        """Return the job for a body, or None where FastAPI has to handle the request."""
        if len(body) > LARGE_JSON_BYTES or may_contain_nan(body):
            return None
        try:
            payload: BaseModel = task.validate_json(body, CONTEXT)
            text = task.dump(payload)
        except Exception:  # whatever a task's model raises: FastAPI answers it, and logs what is a fault
            return None
        new = _job_template(task).copy_with_payload(text)
        return None if has_large_payload([new]) else new

    def accept(self, new: NewJob) -> "Future[list[Acceptance]]":
        """Return a future that is done once the job is durable, or holds the error that prevented it."""
        return self._parts.group_commit.start_accept([new])

    def answer(self, task: AnyDefinition, new: NewJob) -> bytes:
        """Return the body of the answer for an accepted job."""
        return _answer_template(task).fill(new)

    def problem(self, error: BaseException, target: bytes) -> Response:
        """Return the answer for an error of `accept`."""
        problem = as_problem(error) if isinstance(error, JobyardError) else internal_error()
        scope = {"type": "http", "path": unquote(target.decode()), "query_string": b"", "headers": []}
        return problem.response(Request(scope))


@cache
def _job_template(task: AnyDefinition) -> NewJob:
    return new_job(task, "", DEFAULT_OPTIONS)


class _AnswerTemplate(NamedTuple):
    """The JSON of an answer; for all jobs of a task only the id and the time differ."""

    text: str
    job_id: str
    at: str

    def fill(self, new: NewJob) -> bytes:
        return self.text.replace(self.job_id, new.id).replace(self.at, _accepted_time(new)).encode()


@cache
def _answer_template(task: AnyDefinition) -> _AnswerTemplate:
    job = _job_template(task)
    return _AnswerTemplate(pydantic_core.to_json(new_job_fields(job)).decode(), job.id, _accepted_time(job))


def _accepted_time(new: NewJob) -> str:
    return _time_as_json(new.id[:TIME_CHARACTERS])


@lru_cache(maxsize=1)
def _time_as_json(beginning_of_id: str) -> str:
    return pydantic_core.to_json(accepted_at(beginning_of_id)).decode()


@lru_cache(maxsize=256)
def _is_local(client: str, host: bytes, origin: bytes | None) -> bool:
    origin_text = origin.decode("latin-1") if origin is not None else None
    return is_loopback(client) and not non_local_headers(host.decode("latin-1"), origin_text)
