"""uvicorn's HTTP/1.1 protocol with a fast lane; `--http jobyard.http.fast_lane.protocol:FastLaneProtocol`.

A plain request for a job (`jobyard/http/fast_lane/lane.py`) is answered from here, and is never made into
an ASGI request: no scope, no task of the event loop, no `receive` and `send`, which are two thirds of what
one costs. All others go uvicorn's own way, from their first byte.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from jobyard.http.fast_lane.lane import PLAIN_JSON, STATE, FastLane
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.tasks.definition import AnyDefinition

LOCAL: Final = "localhost"  # a socket in the file system has no other name for its callers


class _Answering:
    """A plain request under way, with as much of uvicorn's `RequestResponseCycle` as is looked at."""

    message_event: Final = asyncio.Event()  # nobody waits for it

    def __init__(self) -> None:
        self.response_complete = self.disconnected = False
        self.keep_alive = True


class FastLaneProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lane: FastLane | None = app_state.get(STATE)
        # What uvicorn would say or do about each request is for uvicorn.
        self._is_plain_server = not (config.access_log or self.root_path or self.limit_concurrency)
        self._task: AnyDefinition | None = None
        self._body = b""

    def on_message_begin(self) -> None:
        """Overridden so that a request is made for ASGI only once it is known that it goes there."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Overridden so that a plain request is kept here."""
        self._task = self._task_of_plain_request()
        if self._task is None:
            self._go_uvicorns_way()
        self._body = b""

    def _task_of_plain_request(self) -> AnyDefinition | None:
        is_first = self.cycle is None or self.cycle.response_complete
        if self._lane is None or not (is_first and self._is_plain_server and self.parser.should_keep_alive()):
            return None
        client = self.client[0] if self.client else LOCAL
        return self._lane.task_of(self.parser.get_method(), self.url, self.headers, client)

    def _go_uvicorns_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Overridden so that the body of a plain request is kept here."""
        if self._task is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Overridden so that a plain request is accepted, or handed on whole where its body is not plain."""
        lane, task, body = self._lane, self._task, self._body
        self._task, self._body = None, b""
        if lane is None or task is None:
            super().on_message_complete()
        elif new := lane.job_of(task, body):
            self._accept(lane, task, new)
        else:
            self._go_uvicorns_way()
            super().on_body(body)
            super().on_message_complete()

    def _accept(self, lane: FastLane, task: AnyDefinition, new: NewJob) -> None:
        answering: Any = _Answering()
        self.cycle = answering
        lane.accept(new).add_done_callback(partial(self._answer, answering, lane, task, new, self.url))

    def _answer(
        self,
        answering: _Answering,
        lane: FastLane,
        task: AnyDefinition,
        new: NewJob,
        target: bytes,
        accepted: "asyncio.Future[list[Acceptance]]",
    ) -> None:
        error = accepted.exception()
        if error is not None and not isinstance(error, JobyardError):
            self.logger.error("a plain request was not answered as it should", exc_info=error)
        answering.response_complete = True
        if answering.disconnected or self.transport.is_closing():
            return
        if error is None:
            body = lane.answer(task, new)
            headers = [
                (b"location", b"/v1/jobs/" + new.id.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"content-type", PLAIN_JSON),
            ]
            self._write(answering, HTTPStatus.ACCEPTED, headers, body)
        else:
            response = lane.problem(error, target)
            self._write(answering, response.status_code, response.raw_headers, bytes(response.body))
        self.on_response_complete()

    def _write(
        self, answering: _Answering, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        if not answering.keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join((*lines, b"\r\n", body)))
        if not answering.keep_alive:
            self.transport.close()
