"""uvicorn's HTTP/1.1 protocol with a fast lane; `--http jobyard.http.fast_lane.protocol:FastLaneProtocol`.

A plain request for a job (`jobyard/http/fast_lane/lane.py`) is answered here and never becomes an ASGI
request: it needs no scope, no asyncio task, no `receive` and `send`, which are two thirds of what a request
costs. Uvicorn handles every other request, from its first byte.
"""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from jobyard.http.connections.bounded_protocol import BoundedProtocol
from jobyard.http.fast_lane.lane import PLAIN_JSON, STATE, FastLane
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.tasks.definition import AnyDefinition

LOCAL: Final = "localhost"  # the client's name on a Unix socket, for which uvicorn has none


class _FastCycle:
    """A plain request in progress, with the attributes of uvicorn's `RequestResponseCycle` that are read."""

    message_event: Final = asyncio.Event()  # uvicorn sets it, and nothing waits for it
    more_body: Final = False

    def __init__(self) -> None:
        self.response_complete = self.disconnected = False
        self.keep_alive = True


class FastLaneProtocol(BoundedProtocol):
    """One HTTP/1.1 connection."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lane: FastLane | None = app_state.get(STATE)
        # With these options uvicorn logs or changes each request, so it has to handle them all.
        self._is_plain_server = not (config.access_log or self.root_path or self.limit_concurrency)
        self._task: AnyDefinition | None = None
        self._body = b""

    def on_message_begin(self) -> None:
        """Overridden so that an ASGI request is created only once the request is known not to be plain."""
        self.head_begins()
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Overridden so that a plain request stays out of ASGI."""
        if self._should_upgrade():
            return
        self.body_begins()
        self._task = self._task_of_plain_request()
        if self._task is None:
            self._pass_to_uvicorn()
        self._body = b""

    def _task_of_plain_request(self) -> AnyDefinition | None:
        is_first = self.cycle is None or self.cycle.response_complete
        if self._lane is None or not (is_first and self._is_plain_server and self._is_kept()):
            return None
        client = self.client[0] if self.client else LOCAL
        return self._lane.task_of(self.parser.get_method(), self.url, self.headers, client)

    def _is_kept(self) -> bool:
        # HTTP/1.0 keeps a connection only with a header in the answer, which uvicorn does not send.
        return self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"

    def _pass_to_uvicorn(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()
        self.request_is_passed_on()

    def on_body(self, body: bytes) -> None:
        """Overridden so that the body of a plain request is collected here."""
        self.content_comes()
        if self._task is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Overridden so that a plain request is accepted, or passed on whole where its body is not plain."""
        if self._should_upgrade():
            return
        self.body_ends()
        lane, task, body = self._lane, self._task, self._body
        self._task, self._body = None, b""
        if lane is None or task is None:
            super().on_message_complete()
        elif new := lane.job_of(task, body):
            self._accept(lane, task, new)
        else:
            self._pass_to_uvicorn()
            super().on_body(body)
            super().on_message_complete()

    def _accept(self, lane: FastLane, task: AnyDefinition, new: NewJob) -> None:
        cycle: Any = _FastCycle()
        self.cycle = cycle
        lane.accept(new).add_done_callback(partial(self._answer, cycle, lane, task, new, self.url))

    def _answer(
        self,
        cycle: _FastCycle,
        lane: FastLane,
        task: AnyDefinition,
        new: NewJob,
        target: bytes,
        accepted: "asyncio.Future[list[Acceptance]]",
    ) -> None:
        error = accepted.exception()
        if error is not None and not isinstance(error, JobyardError):
            self.logger.error("a plain request was not answered as it should", exc_info=error)
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        if error is None:
            body = lane.answer(task, new)
            headers = [
                (b"location", b"/v1/jobs/" + new.id.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"content-type", PLAIN_JSON),
            ]
            self.write_answer(HTTPStatus.ACCEPTED, headers, body, keep_alive=cycle.keep_alive)
        else:
            response = lane.problem(error, target)
            body = bytes(response.body)
            self.write_answer(response.status_code, response.raw_headers, body, keep_alive=cycle.keep_alive)
        self.on_response_complete()
