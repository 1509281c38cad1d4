"""A real server with the fast lane: what is plain is answered there, the rest reaches the application."""

import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jobyard.http.commit.async_group_commit import AsyncGroupCommit
from jobyard.http.commit.committer import Committer
from jobyard.http.fast_lane.lane import STATE, FastLane
from jobyard.http.fast_lane.protocol import FastLaneProtocol
from jobyard.http.parts import Parts
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from jobyard.settings import Settings
from tests.support import bad_tasks  # noqa: F401 (declares its tasks)
from tests.support.waiting import wait_until

# How the ledger writes is not the matter here.
pytestmark = pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)

PATH = "/v1/tasks/bad.deed/jobs"
BODY = b'{"text":"hello"}'
SLOW = 299  # what the application answers here


class Server:
    """An API with a fast lane around an application that remembers what reaches it."""

    def __init__(self, ledger: Ledger, **options: Any) -> None:
        self.bodies: list[bytes] = []
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
        self.bodies.append(await request.body())
        return Response(b"slowly", SLOW)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[dict[str, Any]]:
        committer, unused = Committer(self.ledger, self._settings), cast(Any, None)
        group_commit = AsyncGroupCommit(committer)
        parts = Parts(self._settings, self.ledger, unused, unused, group_commit, unused)
        yield {STATE: FastLane(parts)}
        await group_commit.close()
        await committer.close()


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


@pytest.fixture
def server(own_ledger: Ledger) -> Iterator[Server]:
    with served(own_ledger) as server:
        yield server


def test_a_plain_request_is_accepted_without_the_application(server: Server) -> None:
    status, headers, body = server.caller().post()
    job = json.loads(body)
    assert (status, job["status"], job["task"]) == (202, "queued", "bad.deed")
    assert headers["location"] == f"/v1/jobs/{job['id']}"
    assert {"date", "server", "content-type"} <= set(headers)
    assert json.loads(get_job(server.ledger.database, job["id"]).payload)["text"] == "hello"
    assert server.bodies == []


@pytest.mark.parametrize(
    "other",
    [
        {"path": f"{PATH}?priority=9"},
        {"path": f"{PATH}/bulk"},
        {"path": "/v1/jobs"},
        {"method": "PUT"},
        {"Prefer": "wait=1"},
        {"body": b'{"nope":1}'},
        {"body": b"{"},
        {"Expect": "100-continue"},
    ],
    ids=str,
)
def test_everything_else_reaches_the_application_as_it_came(server: Server, other: dict[str, Any]) -> None:
    caller = server.caller()
    caller.send(request(**other))
    if "Expect" in other:
        assert caller.stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        caller.stream.readline()
    assert caller.answer()[0] == SLOW
    assert server.bodies == [other.get("body", BODY)]
    assert caller.post()[0] == 202, "and the connection goes on"


def test_a_request_may_come_byte_by_byte(server: Server) -> None:
    caller = server.caller()
    caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request():
        caller.send(bytes([byte]))
    assert caller.answer()[0] == 202


UPGRADES: list[dict[str, Any]] = [
    {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"},
    {
        "Connection": "upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x",
        "Sec-WebSocket-Version": "13",
    },
    {"Connection": "keep-alive, Upgrade", "Upgrade": "TLS/1.2, h2c"},
]


@pytest.mark.parametrize("upgrade", UPGRADES, ids=lambda headers: headers["Upgrade"])
def test_an_upgrade_is_ignored_and_the_body_is_read(server: Server, upgrade: dict[str, Any]) -> None:
    caller = server.caller()
    assert caller.post(**upgrade)[0] in (202, SLOW)
    caller.send(request(path="/v1/jobs", **upgrade) + request(method="PUT", **upgrade) + request())
    assert [caller.answer()[0] for _ in range(3)] == [SLOW, SLOW, SLOW]
    assert set(server.bodies) == {BODY}
    assert caller.post()[0] == 202, "and the connection goes on"
    head = request(b"", **upgrade).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    caller.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    assert caller.answer()[0] == SLOW
    assert server.bodies[-1] == BODY


@pytest.mark.parametrize("upgrade", UPGRADES, ids=lambda headers: headers["Upgrade"])
def test_a_request_with_an_upgrade_may_come_byte_by_byte(server: Server, upgrade: dict[str, Any]) -> None:
    caller = server.caller()
    caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request(**upgrade):
        caller.send(bytes([byte]))
    assert caller.answer()[0] in (202, SLOW)


def test_many_upgrades_sent_ahead_are_all_answered(server: Server) -> None:
    caller = server.caller()
    threading.Thread(target=caller.send, args=[request(path="/v1/jobs", **UPGRADES[0]) * 2_000]).start()
    assert {caller.answer()[0] for _ in range(2_000)} == {SLOW}


def test_a_connect_is_answered_and_no_tunnel(server: Server) -> None:
    caller = server.caller()
    caller.send(b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert caller.stream.readline().startswith((b"HTTP/1.1 4", b"HTTP/1.1 2"))


def test_a_body_in_chunks_reaches_the_application(server: Server) -> None:
    caller = server.caller()
    head = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    caller.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    assert caller.answer()[0] == SLOW
    assert server.bodies == [BODY]


def test_requests_sent_ahead_are_answered_in_their_order(server: Server) -> None:
    caller = server.caller()
    caller.send(request() + request(path="/v1/jobs") + request(b'{"text":"third"}') + request(method="PUT"))
    assert [caller.answer()[0] for _ in range(4)] == [202, SLOW, SLOW, SLOW]
    assert server.bodies == [BODY, b'{"text":"third"}', BODY]
    assert caller.post()[0] == 202


def test_a_connection_that_is_to_be_closed_is_closed(server: Server) -> None:
    caller = server.caller()
    assert caller.post(Connection="close")[0] == SLOW
    assert caller.stream.read() == b""


def test_a_caller_who_leaves_costs_nobody_anything(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    came, go_on = threading.Event(), threading.Event()
    accept = server.ledger.accept

    def slowly(new_jobs: list[NewJob]) -> list[Acceptance]:
        came.set()
        go_on.wait(10)
        return accept(new_jobs)

    monkeypatch.setattr(server.ledger, "accept", slowly)
    caller = server.caller()
    caller.send(request())
    assert came.wait(10)
    caller.close()
    other = server.caller()
    other.send(request())
    go_on.set()
    assert other.answer()[0] == 202


def test_a_server_that_is_told_to_stop_answers_what_it_was_asked(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, accept = threading.Event(), own_ledger.accept

    def slowly(new_jobs: list[NewJob]) -> list[Acceptance]:
        came.set()
        time.sleep(0.5)  # longer than the server takes to notice
        return accept(new_jobs)

    monkeypatch.setattr(own_ledger, "accept", slowly)
    with served(own_ledger) as server:
        caller = server.caller()
        caller.send(request())
        assert came.wait(10)
        server.uvicorn.should_exit = True
        status, headers, _ = caller.answer()
        assert (status, headers["connection"]) == (202, "close")
        assert caller.stream.read() == b""


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [(LedgerUnavailableError("away"), 503, "away"), (RuntimeError("a secret"), 500, "")],
)
def test_an_error_is_a_problem_and_the_connection_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, words: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(server.ledger, "accept", _raising(error))
        caller = server.caller()
        answered, headers, body = caller.post()
    problem = json.loads(body)
    assert (answered, problem["status"], problem["instance"]) == (status, status, PATH)
    assert headers["content-type"] == "application/problem+json"
    assert words in problem["detail"]
    assert "secret" not in body.decode()
    assert caller.post()[0] == 202


def _raising(error: Exception) -> Any:
    def accept(_: object) -> None:
        raise error

    return accept


@pytest.mark.parametrize(
    "option", [{"access_log": True}, {"root_path": "/yard"}, {"limit_concurrency": 50}], ids=str
)
def test_what_uvicorn_was_told_to_do_with_each_request_is_left_to_it(
    own_ledger: Ledger, option: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "uvicorn.access")
    with served(own_ledger, **option) as server:
        assert server.caller().post()[0] == SLOW


def test_nonsense_is_refused_as_ever(server: Server) -> None:
    caller = server.caller()
    caller.send(b"POST\r\n\r\n")
    assert caller.answer()[0] == 400
