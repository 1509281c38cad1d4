"""A real server with the fast lane around an application that remembers what reaches it, and its callers."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from jobyard.http.commit.async_group_commit import AsyncGroupCommit
from jobyard.http.commit.committer import Committer
from jobyard.http.connections.sweeper import SWEEPER, ConnectionSweeper
from jobyard.http.fast_lane.lane import STATE, FastLane
from jobyard.http.fast_lane.protocol import FastLaneProtocol
from jobyard.http.parts import Parts
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings
from tests.support import bad_tasks  # noqa: F401 (declares its tasks)
from tests.support.waiting import wait_until

PATH: Final = "/v1/tasks/bad.deed/jobs"
BODY: Final = b'{"text":"hello"}'
SLOW: Final = 299  # what the application answers here
REFUSAL: Final = 418  # and at the path /refuse, before it has read the body
WAIT_SECONDS: Final = 1.5  # at the path /wait
STREAM_BYTES: Final = 64 * 1024 * 1024  # at the path /stream


class Server:
    """An API with a fast lane around an application that remembers what reaches it."""

    def __init__(self, ledger: Ledger, most_connections: int = 1000, **options: Any) -> None:
        self.bodies: list[bytes] = []
        self.sweeper = ConnectionSweeper(most_connections)
        self._callers: list[Caller] = []
        self.ledger, self._settings = ledger, Settings()
        routes = [Route("/{rest:path}", self._remember, methods=["GET", "POST", "PUT"])]
        application = Starlette(routes=routes, lifespan=self._lifespan)
        usual: dict[str, Any] = {"log_config": None, "access_log": False, "http": FastLaneProtocol, "port": 0}
        self.uvicorn = uvicorn.Server(uvicorn.Config(application, **usual | options))
        self.thread = threading.Thread(target=self.uvicorn.run)

    @property
    def port(self) -> int:
        port: int = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        return port

    def caller(self) -> "Caller":
        self._callers.append(Caller(self.port))
        return self._callers[-1]

    def hang_up(self) -> None:
        for caller in self._callers:
            caller.close()

    async def _remember(self, request: Request) -> Response:
        if request.url.path == "/refuse":
            return Response(b"no", REFUSAL)
        if request.url.path == "/stream":
            return StreamingResponse(_stream())
        self.bodies.append(await request.body())
        if request.url.path == "/wait":
            await asyncio.sleep(WAIT_SECONDS)
        return Response(b"slowly", SLOW)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[dict[str, Any]]:
        committer, unused = Committer(self.ledger, self._settings), cast(Any, None)
        group_commit = AsyncGroupCommit(committer)
        parts = Parts(self._settings, self.ledger, unused, unused, group_commit, unused)
        sweeping = asyncio.create_task(self.sweeper.run())
        yield {STATE: FastLane(parts), SWEEPER: self.sweeper}
        sweeping.cancel()
        await group_commit.close()
        await committer.close()


async def _stream() -> AsyncIterator[bytes]:
    for _ in range(STREAM_BYTES // 65536):
        yield bytes(65536)


@contextmanager
def served(ledger: Ledger, **options: Any) -> Iterator[Server]:
    server = Server(ledger, **options)
    server.thread.start()
    try:
        wait_until(lambda: server.uvicorn.started, 10, "the server to start")
        yield server
    finally:
        server.hang_up()
        server.uvicorn.should_exit = True
        server.thread.join(20)
    assert not server.thread.is_alive()


class Caller:
    """One connection, byte for byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.stream = self.socket.makefile("rb")

    def close(self) -> None:
        self.stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read the next answer: its status, headers and body."""
        status = int(self.stream.readline().split()[1])
        headers = {}
        while line := self.stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, self.stream.read(int(headers["content-length"]))

    def post(self, body: bytes = BODY, **more: Any) -> tuple[int, dict[str, str], bytes]:
        self.send(request(body, **more))
        return self.answer()


def request(body: bytes = BODY, method: str = "POST", path: str = PATH, **headers: str) -> bytes:
    usual = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body))}
    named = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(head).encode() + body
