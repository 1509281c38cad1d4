"""A connection with bounds: the bytes of a head, the time of a head and of a body, the time of silence.

What the parser has begun is one thing, what is being answered another: a client may send a request ahead
while the one before is answered. `check` looks at both once a second.
"""

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from jobyard.http.connections import bounds
from jobyard.http.connections.lingering_transport import LingeringTransport
from jobyard.http.connections.no_upgrades import NoUpgradesProtocol
from jobyard.http.connections.sweeper import SWEEP_SECONDS, SWEEPER, ConnectionSweeper
from jobyard.http.errors import Problem

FILES: Final = b"/v1/files"


class Receiving(Enum):
    """What the parser is in the middle of."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


NOTHING, HEAD, BODY = Receiving


class _NoTrailers(list[tuple[bytes, bytes]]):
    """Takes the headers that follow a body in chunks: no route reads them."""

    def append(self, _: object) -> None:
        """Forget it."""


class HeadTooLargeError(Exception):
    """Stops the parser."""


class BoundedProtocol(NoUpgradesProtocol):
    """One HTTP/1.1 connection with bounds; its subclass says where the parts of a request begin."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._sweeper: ConnectionSweeper | None = app_state.get(SWEEPER)
        self.heard_at = self._since = 0.0  # the loop's times: of the last bytes, and when `_receiving` began
        self._receiving = NOTHING
        self._slice_bytes = 0  # of the data that the parser has at the moment
        self._head_bytes = 0  # the head has so many bytes at most, so far
        self._body_bytes = self._framing_bytes = 0  # as they came; those since the last bytes of content
        self.kept_bytes = 0  # of a body, until it is answered
        self._is_passed_on = False  # the request that is received has reached the application
        self._is_over = False  # what still comes is not read
        self._refusal: Problem | None = None  # waits for the answers that are due before it
        self._stopped_by = bounds.NOT_HTTP  # the reason where the parser stops
        self._unread = (0, 0.0)  # bytes that the client has not taken, and the time of the last change

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Overridden to bound the number of connections, and to close them with patience."""
        super().connection_made(transport)
        self.transport = LingeringTransport(transport, self._is_receiving, self._on_close)  # type: ignore[assignment]
        self.heard_at = self._since = self.loop.time()
        if self._sweeper and not self._sweeper.add(self):
            self.refuse(bounds.TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Overridden so that the sweeper forgets this connection."""
        if self._sweeper:
            self._keep_nothing()
            self._sweeper.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Overridden to count what is received, and to drop what follows a refusal."""
        self.heard_at = self.loop.time()
        if len(data) <= bounds.HEAD_BYTES:
            self._read(data)
        else:
            for start in range(0, len(data), bounds.HEAD_BYTES):
                self._read(data[start : start + bounds.HEAD_BYTES])

    def _read(self, data: bytes) -> None:
        if self._is_over:
            return
        self._slice_bytes = len(data)
        if self._receiving is HEAD:
            self._head_bytes += len(data)
        elif self._receiving is BODY:
            self._body_bytes += len(data)
            self._keep(len(data))
        super().data_received(data)
        if self._receiving is HEAD and self._head_bytes > bounds.HEAD_BYTES:
            # The data may have begun with the end of another request.
            if self._known_head_bytes() > bounds.HEAD_BYTES or self._head_bytes > 2 * bounds.HEAD_BYTES:
                self.refuse(bounds.HEAD_TOO_LARGE)
        elif self._receiving is BODY:
            self._framing_bytes += len(data)
            if self._framing_bytes > 2 * bounds.HEAD_BYTES:
                self.refuse(bounds.HEAD_TOO_LARGE)

    def head_begins(self) -> None:
        """Take the time of a request."""
        self._receiving, self._since = HEAD, self.heard_at
        self._head_bytes = self._slice_bytes

    def body_begins(self) -> None:
        """Check the head's size; raises `HeadTooLargeError`, which the parser passes on."""
        if self._head_bytes > bounds.HEAD_BYTES and self._known_head_bytes() > bounds.HEAD_BYTES:
            self._stopped_by = bounds.HEAD_TOO_LARGE
            raise HeadTooLargeError
        self._receiving, self._since, self._is_passed_on = BODY, self.heard_at, False
        self._body_bytes = self._framing_bytes = 0

    def content_comes(self) -> None:
        """Take note that the body goes on."""
        self._framing_bytes = 0

    def body_ends(self) -> None:
        """Take note that the request is whole."""
        self._receiving = NOTHING
        if not self._is_answering():
            self._keep_nothing()

    def request_is_passed_on(self) -> None:
        """Take note that the application has the request, and drop the headers that come after the head's."""
        self._is_passed_on = True
        self.headers = _NoTrailers()

    def _known_head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Overridden because the requests before are answered first, and the error is problem+json."""
        self.refuse(self._stopped_by)

    def refuse(self, problem: Problem) -> None:
        """Answer with an error after the answers that are due, and read no further."""
        if self._is_over:
            return
        self._is_over = True
        if self._receiving is BODY and self._is_passed_on:
            cycle = self.cycle
            cycle.disconnected = True
            cycle.message_event.set()
            if not self.pipeline:
                if cycle.response_started:
                    self.transport.abort()
                else:
                    self._answer_refusal(problem)
                return
            self.pipeline.popleft()
        if self._is_answering() or self.pipeline:
            self._refusal = problem
        else:
            self._answer_refusal(problem)

    def _answer_refusal(self, problem: Problem) -> None:
        response = problem.render()
        self.write_answer(response.status_code, response.raw_headers, bytes(response.body), keep_alive=False)

    def write_answer(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keep_alive: bool
    ) -> None:
        """Write a whole answer, and close the connection unless it is kept."""
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join((*lines, b"\r\n", body)))
        if not keep_alive:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Overridden because the sweeper ends silent connections, without a timer for each answer."""
        self.server_state.total_requests += 1
        self._keep_nothing()
        if self.transport.is_closing():
            return
        if not self._is_over:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._answer_refusal(self._refusal)
        elif self._receiving is NOTHING:
            self._since = self.loop.time()
        elif self.expect_100_continue and not self._body_bytes:
            # The client may leave out the body, and what it sends next is no part of it (RFC 9110, 10.1.1).
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Overridden so that a client that has only ended its own way gets its answers."""
        is_whole = self._receiving is NOTHING and not self.transport.is_closing()
        if not is_whole or not self._is_answering() or self.scheme == "https":
            return False
        if self._refusal is None:
            self.cycle.keep_alive = False
        return True

    def check(self, now: float) -> None:
        """End the connection if its client is overdue."""
        seconds, silent_seconds = now - self._since, now - self.heard_at
        if self._takes_nothing(now):
            self.transport.abort()
        elif self.transport.is_closing():
            if seconds > bounds.LINGER_SECONDS or silent_seconds > bounds.LINGER_SILENT_SECONDS:
                self.transport.abort()
        elif self.flow.read_paused:
            self._since += SWEEP_SECONDS  # it is the application that keeps the client waiting
        elif self._receiving is BODY:
            allowed = bounds.BODY_SECONDS + self._body_bytes / bounds.BODY_BYTES_PER_SECOND
            if seconds > allowed or silent_seconds > bounds.BODY_SECONDS:
                self.refuse(bounds.BODY_TOO_SLOW)
        elif self._is_answering():
            pass
        elif self._receiving is HEAD:
            if seconds > bounds.HEAD_SECONDS:
                self.refuse(bounds.HEAD_TOO_SLOW)
        elif seconds > bounds.IDLE_SECONDS:
            self.transport.close()

    def _takes_nothing(self, now: float) -> bool:
        unread, since = self._unread
        current = self.transport.get_write_buffer_size()
        if current == 0 or current != unread:
            self._unread = current, now
            return False
        return now - since > bounds.UNREAD_SECONDS

    def awaits_client(self) -> bool:
        """Tell whether the server has nothing to do for this connection."""
        return not self._is_answering() or self.cycle.more_body

    def _keep(self, size: int) -> None:
        # Files go to the disk while they come.
        if self._sweeper and not self.url.startswith(FILES):
            self.kept_bytes += size
            self._sweeper.keep(size)

    def _keep_nothing(self) -> None:
        if self._sweeper and self.kept_bytes:
            self._sweeper.keep(-self.kept_bytes)
            self.kept_bytes = 0

    def give_up_body(self) -> bool:
        """Refuse the request whose body is being received; return whether there is one."""
        if self._receiving is not BODY or self._is_over:
            return False
        self.refuse(bounds.TOO_MANY_BODIES)
        self._keep_nothing()
        return True

    def end(self) -> None:
        """End the connection without an answer."""
        self.transport.abort()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_receiving(self) -> bool:
        return self._receiving is not NOTHING

    def _on_close(self) -> None:
        self._is_over = True
        self._since = self.heard_at = self.loop.time()
