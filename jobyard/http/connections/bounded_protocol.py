"""A connection with bounds: the bytes of a head, the time of a head and of a body, the time of silence.

What the parser has begun is one thing, what is being answered another: a client may send a request ahead
while the one before is answered. `check` looks at both once a second.
"""

import asyncio
from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from jobyard.http.connections.lingering_transport import LingeringTransport
from jobyard.http.connections.no_upgrades import NoUpgradesProtocol
from jobyard.http.connections.sweeper import SWEEP_SECONDS, SWEEPER, ConnectionSweeper
from jobyard.http.errors import RETRY_AFTER_SECONDS, Problem

HEAD_BYTES: Final = 64 * 1024
HEAD_SECONDS: Final = 10
# A body may take so long, and a second more for each 16 KiB of it that has come.
BODY_SECONDS: Final = 30
BODY_BYTES_PER_SECOND: Final = 16 * 1024
# Longer than load balancers keep a connection that they do not use, so that it is they who close it.
IDLE_SECONDS: Final = 75
# How long a client that is still sending is listened to after its last answer, and while it is silent.
LINGER_SECONDS: Final = 30
LINGER_SILENT_SECONDS: Final = 5
# A client that takes nothing of its answer for so long is gone.
UNREAD_SECONDS: Final = 60
FILES: Final = b"/v1/files"


class Receiving(Enum):
    """What the parser is in the middle of."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


NOTHING, HEAD, BODY = Receiving


class _NoTrailers(list[tuple[bytes, bytes]]):
    """Takes the headers that follow a body in chunks, which nobody reads."""

    def append(self, _: object) -> None:
        """Forget it."""


class HeadTooLargeError(Exception):
    """Stops the parser."""


TOO_MANY_CONNECTIONS: Final = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many requests are being answered at this moment: try again",
    kind="too-many-connections",
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)
TOO_MANY_BODIES: Final = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many large bodies are being received at this moment: try again",
    kind="too-many-bodies",
    field="body",
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)
HEAD_TOO_LARGE: Final = Problem(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"the request's line and headers are larger than {HEAD_BYTES} bytes: send large data in the body",
    kind="head-too-large",
)
HEAD_TOO_SLOW: Final = Problem(
    HTTPStatus.REQUEST_TIMEOUT,
    f"the request's headers were not complete after {HEAD_SECONDS} s: send the request again",
    kind="too-slow",
)
BODY_TOO_SLOW: Final = Problem(
    HTTPStatus.REQUEST_TIMEOUT,
    f"the body came too slowly: it may take {BODY_SECONDS} s, and a second more for each "
    f"{BODY_BYTES_PER_SECOND} bytes, but not pause for {BODY_SECONDS} s; send the request again",
    kind="too-slow",
    field="body",
)
NOT_HTTP: Final = Problem(HTTPStatus.BAD_REQUEST, "this is not a valid HTTP/1.1 request", kind="invalid-http")


class BoundedProtocol(NoUpgradesProtocol):
    """One HTTP/1.1 connection with bounds; its subclass says where the parts of a request begin."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._sweeper: ConnectionSweeper | None = app_state.get(SWEEPER)
        self.heard_at = self._since = 0.0  # the loop's times: of the last bytes, and when `_receiving` began
        self._receiving = NOTHING
        self._head_bytes = self._slice_bytes = 0  # as many as the head so far can have; of what is parsed
        self._body_bytes = self._framing_bytes = 0  # as they came; those since the last bytes of content
        self.kept_bytes = 0  # of a body, until it is answered
        self._is_over = False  # what still comes is not read
        self._refusal: Problem | None = None  # waits for the answers that are due before it
        self._stopped_by = NOT_HTTP  # the reason where the parser stops
        self._unread = (0, 0.0)  # bytes that the client has not taken, and the time of the last change

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Overridden to bound the number of connections, and to close them with patience."""
        super().connection_made(transport)
        self.transport = LingeringTransport(transport, self._is_receiving, self._on_close)  # type: ignore[assignment]
        self.heard_at = self._since = self.loop.time()
        if self._sweeper and not self._sweeper.add(self):
            self.refuse(TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Overridden so that the sweeper forgets this connection."""
        if self._sweeper:
            self._keep_nothing()
            self._sweeper.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Overridden to count what is received, and to drop what follows a refusal."""
        self.heard_at = self.loop.time()
        if len(data) <= HEAD_BYTES:
            self._read(data)
        else:
            for start in range(0, len(data), HEAD_BYTES):
                self._read(data[start : start + HEAD_BYTES])

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
        if self._receiving is HEAD and self._head_bytes > HEAD_BYTES:
            # The data may have begun with the end of another request.
            if self._known_head_bytes() > HEAD_BYTES or self._head_bytes > 2 * HEAD_BYTES:
                self.refuse(HEAD_TOO_LARGE)
        elif self._receiving is BODY:
            self._framing_bytes += len(data)
            if self._framing_bytes > 2 * HEAD_BYTES:
                self.refuse(HEAD_TOO_LARGE)

    def head_begins(self) -> None:
        """Take the time of a request."""
        self._receiving, self._since = HEAD, self.heard_at
        self._head_bytes = self._slice_bytes

    def body_begins(self) -> None:
        """Check the head's size; raises `HeadTooLargeError`, which the parser passes on."""
        if self._head_bytes > HEAD_BYTES and self._known_head_bytes() > HEAD_BYTES:
            self._stopped_by = HEAD_TOO_LARGE
            raise HeadTooLargeError
        self._receiving, self._since = BODY, self.heard_at
        self._body_bytes = self._framing_bytes = 0

    def content_comes(self) -> None:
        """Take note that the body goes on."""
        self._framing_bytes = 0

    def body_ends(self) -> None:
        """Take note that the request is whole."""
        self._receiving = NOTHING
        if not self._is_answering():
            self._keep_nothing()

    def ignore_trailers(self) -> None:
        """Drop the headers that come after those of the head."""
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
        cycle = self.cycle
        if cycle is not None and cycle.more_body:  # the request that is refused has reached the application
            cycle.disconnected = True
            cycle.message_event.set()
            if self.pipeline:
                self.pipeline.popleft()
            elif cycle.response_started:
                self.transport.abort()
            else:
                self._answer_refusal(problem)
                return
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
        if self._takes_nothing(now):
            self.transport.abort()
        elif self.transport.is_closing():
            if now - self._since > LINGER_SECONDS or now - self.heard_at > LINGER_SILENT_SECONDS:
                self.transport.abort()
        elif self.flow.read_paused:
            self._since += SWEEP_SECONDS  # it is the application that keeps the client waiting
        elif self._receiving is BODY:
            is_silent = now - self.heard_at > BODY_SECONDS
            if is_silent or now - self._since > BODY_SECONDS + self._body_bytes / BODY_BYTES_PER_SECOND:
                self.refuse(BODY_TOO_SLOW)
        elif self._is_answering():
            pass
        elif self._receiving is HEAD:
            if now - self._since > HEAD_SECONDS:
                self.refuse(HEAD_TOO_SLOW)
        elif now - self._since > IDLE_SECONDS:
            self.transport.close()

    def _takes_nothing(self, now: float) -> bool:
        unread, since = self._unread
        current = self.transport.get_write_buffer_size()
        if current == 0 or current != unread:
            self._unread = current, now
            return False
        return now - since > UNREAD_SECONDS

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
        self.refuse(TOO_MANY_BODIES)
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
