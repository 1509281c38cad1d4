"""A real HTTP server on loopback, with a thread for each connection; it says what it was told to say."""

import socket
import ssl
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

from tests.support.waiting import wait_until

_TICK_SECONDS = 0.02

needs_second_loopback = pytest.mark.skipif(
    sys.platform == "darwin", reason="127.0.0.2 is an address of this machine on Linux alone"
)


@dataclass(frozen=True)
class Answer:
    """What one request is answered with; after `drips` bytes at once the rest comes a byte at a time."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drips: int | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came; `at` is for the order and the distance of two."""

    path: str
    headers: Mapping[str, str]
    at: float


Reply = Answer | Callable[[Asked], Answer]


class HttpServer:
    """Answers `routes`, and 404 where there is none; a route with several answers ends with the last."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.clients: list[int] = []
        self.stopping = Event()
        self._routes: dict[str, list[Reply]] = defaultdict(list)
        self._server = _Listener((host, port), _handler_for(self), self, tls)
        self.host, self.port = host, int(self._server.server_address[1])
        self._scheme = "http" if tls is None else "https"
        self._thread = Thread(target=self._server.serve_forever, args=(_TICK_SECONDS,), daemon=True)

    def route(self, path: str, *replies: Reply) -> str:
        """Answer `path` with these replies, one after the other; return its URL."""
        self._routes[path] = list(replies)
        return self.url(path)

    def page(self, path: str, body: bytes = b"", content_type: str = "", **headers: str) -> str:
        """Answer `path` with a page; a header is given as `Last_Modified=...`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            named["Content-Type"] = content_type
        return self.route(path, Answer(body, headers=named))

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        return self.route(path, Answer(status=status, headers={"Location": to}))

    def url(self, path: str = "/") -> str:
        return f"{self._scheme}://{self.host}:{self.port}{path}"

    def asked_for(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]

    def connections(self) -> int:
        """How many connections were made so far."""
        # They are taken in their order, so once one of our own is, all before it are.
        with socket.create_connection((self.host, self.port), timeout=10) as ours:
            port = ours.getsockname()[1]
            wait_until(lambda: port in self.clients, 10, "our own connection to be taken")
        self.clients.remove(port)
        return len(self.clients)

    def reply_to(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        replies = self._routes.get(asked.path) or [Answer(b"no such page", 404)]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply if isinstance(reply, Answer) else reply(asked)

    def __enter__(self) -> "HttpServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], handler: Any, owner: HttpServer, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, handler)
        self._owner, self._tls = owner, tls

    def process_request(self, request: Any, client_address: Any) -> None:
        self._owner.clients.append(client_address[1])
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Here, on the connection's own thread, so that a client that stays silent holds up nobody.
        if self._tls is None:
            super().finish_request(request, client_address)
        else:
            with self._tls.wrap_socket(request, server_side=True) as encrypted:
                super().finish_request(encrypted, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients hang up in the middle here, and that is the point


def _handler_for(server: HttpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, monotonic())
            answer = server.reply_to(asked)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            at_once = len(answer.body) if answer.drips is None else answer.drips
            self.wfile.write(answer.body[:at_once])
            for place in range(at_once, len(answer.body)):
                if server.stopping.wait(_TICK_SECONDS):
                    return
                self.wfile.write(answer.body[place : place + 1])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
