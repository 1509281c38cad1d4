"""A real server with the fast lane: what is plain is answered there, the rest reaches the application."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from jobyard.jobs.errors import LedgerUnavailableError, OutcomeUnknownError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from tests.support.lane_server import BODY, PATH, SLOW, Server, request, served

# How the ledger writes is not the matter here.
pytestmark = pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)


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


def test_a_caller_whose_outcome_is_unknown_gets_the_id_of_its_job(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def lose(new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        asked.extend(new.id for new in new_jobs)
        raise OutcomeUnknownError([*asked, "another's"], "no answer")

    monkeypatch.setattr(server.ledger, "accept", lose)
    status, headers, body = server.caller().post()
    problem = json.loads(body)
    assert (status, problem["type"]) == (503, "urn:jobyard:problem:outcome-unknown")
    assert problem["ids"] == asked
    assert "retry-after" not in headers


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
