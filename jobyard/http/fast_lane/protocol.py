"""uvicorn's HTTP/1.1 protocol with a fast lane; `--http jobyard.http.fast_lane.protocol:FastLaneProtocol`.

A plain request for a job (`jobyard/http/fast_lane/lane.py`) is answered here and never becomes an ASGI
request: it needs no scope, no asyncio task, no `receive` and `send`, which are two thirds of what a request
costs. Uvicorn handles every other request, from its first byte.
"""

import asyncio
import sys
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from jobyard.http.fast_lane.lane import PLAIN_JSON, STATE, FastLane
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.tasks.definition import AnyDefinition

LOCAL: Final = "localhost"  # the client's name on a Unix socket, for which uvicorn has none


class _FastCycle:
    """A plain request in progress, with the attributes of uvicorn's `RequestResponseCycle` that are read."""

    message_event: Final = asyncio.Event()  # uvicorn sets it, and nothing waits for it

    def __init__(self) -> None:
        self.response_complete = self.disconnected = False
        self.keep_alive = True


class FastLaneProtocol(HttpToolsProtocol):
    """One HTTP/1.1 connection."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lane: FastLane | None = app_state.get(STATE)
        # With these options uvicorn logs or changes each request, so it has to handle them all.
        self._is_plain_server = not (config.access_log or self.root_path or self.limit_concurrency)
        self._task: AnyDefinition | None = None
        self._body = self._data = self._put_back = b""

    def on_message_begin(self) -> None:
        """Overridden so that an ASGI request is created only once the request is known not to be plain."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def data_received(self, data: bytes) -> None:
        """Overridden to keep the data for `handle_websocket_upgrade`, and to read what that puts back."""
        self._put_back = data
        while self._put_back:
            self._data, self._put_back = self._put_back, b""
            super().data_received(self._data)

    def _should_upgrade(self) -> bool:
        """Overridden because no upgrade is supported, and a server ignores such (RFC 9110, 7.8)."""
        # The parser also takes a CONNECT for an upgrade, and uvicorn answers it.
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def handle_websocket_upgrade(self) -> None:
        """Overridden to put a request back without the upgrade at which the parser has stopped."""
        stop = sys.exc_info()[1]
        assert isinstance(stop, httptools.HttpParserUpgrade)
        rest = self._data[stop.args[0] :]
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(part for part in value.split(b",") if part.strip().lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._put_back = b"\r\n".join([*lines, b"", rest])

    def on_headers_complete(self) -> None:
        """Overridden so that a plain request stays out of ASGI."""
        if self._should_upgrade():
            return
        self._task = self._task_of_plain_request()
        if self._task is None:
            self._pass_to_uvicorn()
        self._body = b""

    def _task_of_plain_request(self) -> AnyDefinition | None:
        is_first = self.cycle is None or self.cycle.response_complete
        if self._lane is None or not (is_first and self._is_plain_server and self.parser.should_keep_alive()):
            return None
        client = self.client[0] if self.client else LOCAL
        return self._lane.task_of(self.parser.get_method(), self.url, self.headers, client)

    def _pass_to_uvicorn(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Overridden so that the body of a plain request is collected here."""
        if self._task is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Overridden so that a plain request is accepted, or passed on whole where its body is not plain."""
        if self._should_upgrade():
            return
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
            self._write(cycle, HTTPStatus.ACCEPTED, headers, body)
        else:
            response = lane.problem(error, target)
            self._write(cycle, response.status_code, response.raw_headers, bytes(response.body))
        self.on_response_complete()

    def _write(
        self, cycle: _FastCycle, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join((*lines, b"\r\n", body)))
        if not cycle.keep_alive:
            self.transport.close()
