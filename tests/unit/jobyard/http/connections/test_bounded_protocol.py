"""A connection's bounds on a real server: what is too large, too slow or silent, and who is answered."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from jobyard.http.connections import bounds, sweeper
from jobyard.http.connections.bounds import HEAD_BYTES
from jobyard.jobs.ledger import Ledger
from tests.support.lane_server import BODY, REFUSAL, SLOW, Caller, Server, request, served
from tests.support.waiting import wait_until

pytestmark = pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)

CHUNKED = request(b"", path="/v1/jobs").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
QUICK = 0.3


@pytest.fixture
def server(own_ledger: Ledger) -> Iterator[Server]:
    with served(own_ledger) as server:
        yield server


@pytest.fixture
def impatient(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(sweeper, "SWEEP_SECONDS", QUICK / 10)
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS", "LINGER_SILENT_SECONDS", "UNREAD_SECONDS"):
        monkeypatch.setattr(bounds, name, QUICK)
    with served(own_ledger) as server:
        yield server


def head_of(size: int) -> bytes:
    """Return a whole head with so many bytes of headers."""
    head = request(b"", method="GET", path="/v1/jobs")[:-2]
    return head + b"X: " + b"x" * (size - len(head)) + b"\r\n\r\n"


def is_ended(caller: Caller) -> bool:
    """Tell whether the server has ended the connection, after the answers that it has given."""
    try:
        return caller.stream.read() == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def refused(caller: Caller) -> tuple[int, str]:
    """Read the last answer of a connection; return its status and the kind of the problem."""
    status, headers, body = caller.answer()
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["detail"]
    return status, problem["type"].rpartition(":")[2]


def test_a_large_head_is_read_and_a_larger_one_refused(server: Server) -> None:
    caller = server.caller()
    caller.send(head_of(HEAD_BYTES - 1024))
    assert caller.answer()[0] == SLOW
    caller.send(head_of(HEAD_BYTES + 1024))
    assert refused(caller) == (431, "head-too-large")
    assert is_ended(caller)


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"x" * 400_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 400_000,
        b"GET / HTTP/1.1\r\n" + b"x" * 400_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 60_000,
        CHUNKED + b"4;x=" + b"x" * 400_000,
        CHUNKED + b"0\r\nX: " + b"x" * 400_000,
        CHUNKED + b"0\r\n" + b"x: y\r\n" * 60_000,
    ],
    ids=["line", "value", "name", "headers", "extension", "trailer", "trailers"],
)
def test_a_head_without_an_end_is_refused_and_the_client_can_read_why(server: Server, endless: bytes) -> None:
    caller = server.caller()
    caller.send(endless)
    assert refused(caller) == (431, "head-too-large")
    caller.send(b"x" * 1_000_000)  # it goes on, and the connection is not reset under its answer
    assert caller.stream.read() == b""


def test_what_follows_large_requests_sent_ahead_is_no_part_of_their_heads(server: Server) -> None:
    caller = server.caller()
    body = json.dumps({"text": "x" * 100_000}).encode()
    sent = (request(body) + head_of(HEAD_BYTES - 1024)) * 5
    threading.Thread(target=caller.send, args=[sent]).start()
    assert [caller.answer()[0] for _ in range(10)] == [
        SLOW
    ] * 10  # the fast lane leaves large bodies to others


def test_trailers_are_no_headers(server: Server) -> None:
    caller = server.caller()
    caller.send(CHUNKED + b"4\r\nabcd\r\n0\r\nExpect: 100-continue\r\nX: y\r\n\r\n" + request())
    assert [caller.answer()[0] for _ in range(2)] == [SLOW, SLOW], "sent ahead"


def test_a_silent_connection_is_closed(impatient: Server) -> None:
    caller = impatient.caller()
    assert caller.stream.read() == b"", "one that has never said anything"
    caller = impatient.caller()
    assert caller.post()[0] == 202
    assert caller.stream.read() == b"", "one that has been answered"


@pytest.mark.parametrize("beginning", [b"GET /", b"GET / HTTP/1.1\r\nHost: local"])
def test_a_slow_head_is_refused_however_busy_its_client_is(impatient: Server, beginning: bytes) -> None:
    caller = impatient.caller()
    caller.send(beginning)
    for _ in range(20):
        time.sleep(QUICK / 10)
        try:
            caller.send(b"x")
        except ConnectionError:
            break
    assert refused(caller) == (408, "too-slow")
    assert is_ended(caller)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/tasks/bad.deed/jobs"], ids=["ordinary", "fast lane"])
def test_a_slow_body_is_refused_and_accepts_nothing(impatient: Server, path: str) -> None:
    caller = impatient.caller()
    caller.send(request(path=path)[:-3])
    assert refused(caller) == (408, "too-slow")
    assert is_ended(caller)
    assert impatient.bodies == []


def test_a_large_body_has_time_for_its_size(impatient: Server) -> None:
    caller = impatient.caller()
    body = b"x" * 400_000
    whole = request(body, path="/v1/jobs")
    for start in range(0, len(whole), 100_000):
        caller.send(whole[start : start + 100_000])
        time.sleep(QUICK / 2)
    assert caller.answer()[0] == SLOW
    assert impatient.bodies == [body]


def test_an_application_may_take_its_time(impatient: Server) -> None:
    caller = impatient.caller()
    caller.send(request(path="/wait"))
    assert caller.answer()[0] == SLOW


def test_a_client_that_takes_nothing_of_its_answer_is_given_up(impatient: Server) -> None:
    caller = impatient.caller()
    caller.send(request(b"", method="GET", path="/stream"))
    wait_until(lambda: not impatient.uvicorn.server_state.connections, 10, "the connection to be ended")


def test_a_client_that_reads_slowly_gets_all(impatient: Server) -> None:
    caller = impatient.caller()
    caller.send(request(b"", method="GET", path="/stream"))
    for _ in range(10):
        assert len(caller.stream.read(2_000_000)) == 2_000_000
        time.sleep(QUICK / 2)


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_an_answer_before_the_bodys_end_reaches_a_client_that_is_still_sending(
    server: Server, connection: str
) -> None:
    caller = server.caller()
    body = b"x" * 3_000_000
    caller.send(request(body, path="/refuse", Connection=connection))
    assert caller.answer()[0] == REFUSAL
    if connection == "keep-alive":
        assert caller.post()[0] == 202
    else:
        assert caller.stream.read() == b""


def test_a_client_that_is_sent_away_and_goes_on_for_ever_is_cut_off(impatient: Server) -> None:
    caller = impatient.caller()
    caller.send(request(b"x" * 100, path="/refuse", Connection="close")[:-50])
    assert caller.answer()[0] == REFUSAL
    wait_until(lambda: not impatient.uvicorn.server_state.connections, 10, "the connection to be ended")


def test_an_expectation_that_was_refused_ends_the_connection(server: Server) -> None:
    caller = server.caller()
    caller.send(request(BODY, path="/refuse", Expect="100-continue")[: -len(BODY)])
    assert caller.answer()[0] == REFUSAL
    assert caller.stream.read() == b"", "what came next might be the body, or another request"


@pytest.mark.parametrize("first", ["/v1/tasks/bad.deed/jobs", "/wait"])
def test_nonsense_behind_a_request_does_not_cost_its_answer(server: Server, first: str) -> None:
    caller = server.caller()
    caller.send(request(path=first) + request(path="/wait") + b"\x00\x01nonsense\r\n\r\n")
    assert caller.answer()[0] in (202, SLOW)
    assert caller.answer()[0] == SLOW
    assert refused(caller) == (400, "invalid-http")
    assert is_ended(caller)
    assert server.caller().post()[0] == 202


@pytest.mark.parametrize(
    ("then", "refusal"),
    [
        (b"\x00nonsense\r\n\r\n", (400, "invalid-http")),
        (head_of(HEAD_BYTES + 1024), (431, "head-too-large")),
        (b"GET / HTTP/1.1\r\nHost: local", (408, "too-slow")),
        (request()[:-3], (408, "too-slow")),
        (request(path="/v1/jobs")[:-3], (408, "too-slow")),
    ],
    ids=["nonsense", "large", "slow head", "slow body", "slow body of the application"],
)
def test_a_request_that_follows_one_answered_before_its_bodys_end_is_refused_in_words(
    impatient: Server, then: bytes, refusal: tuple[int, str]
) -> None:
    caller = impatient.caller()
    caller.send(request(path="/refuse")[: -len(BODY)])
    assert caller.answer()[0] == REFUSAL
    caller.send(BODY + then)
    assert refused(caller) == refusal


def test_nonsense_within_a_body_is_refused_after_the_answers_before_it(server: Server) -> None:
    caller = server.caller()
    caller.send(request(path="/wait") + CHUNKED + b"no size\r\n")
    assert caller.answer()[0] == SLOW
    assert refused(caller) == (400, "invalid-http")
    assert server.bodies == [BODY]


@pytest.mark.parametrize("path", ["/v1/tasks/bad.deed/jobs", "/wait", "/v1/jobs"])
def test_a_client_that_has_ended_its_own_way_is_answered(server: Server, path: str) -> None:
    caller = server.caller()
    caller.send(request() + request(path=path))
    caller.socket.shutdown(socket.SHUT_WR)
    assert caller.answer()[0] == 202
    assert caller.answer()[0] in (202, SLOW)
    assert caller.stream.read() == b""


def test_a_client_that_ends_within_a_request_is_ended(server: Server) -> None:
    caller = server.caller()
    caller.send(request()[:-1])
    caller.socket.shutdown(socket.SHUT_WR)
    assert caller.stream.read() == b""


@pytest.mark.parametrize("path", ["/v1/tasks/bad.deed/jobs", "/v1/jobs"])
def test_http_1_0_is_answered_and_closed_on_either_way(server: Server, path: str) -> None:
    caller = server.caller()
    caller.send(request(path=path, Connection="keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"))
    status, headers, _ = caller.answer()
    assert (status, headers["connection"]) == (SLOW, "close")
    assert caller.stream.read() == b""


def test_where_connections_are_too_many_the_one_that_was_silent_for_longest_goes(own_ledger: Ledger) -> None:
    with served(own_ledger, most_connections=16) as server:
        silent = [server.caller() for _ in range(15)]
        slow = server.caller()
        slow.send(request(path="/wait"))
        wait_until(lambda: len(server.uvicorn.server_state.connections) == 16, 10, "all to be accepted")
        assert silent[0].post()[0] == 202
        new = [server.caller() for _ in range(3)]
        assert [caller.post()[0] for caller in new] == [202] * 3
        assert slow.answer()[0] == SLOW, "who waits for an answer stays"
        assert silent[0].post()[0] == 202, "and so does who has just said something"
        for caller in silent[1:]:
            caller.socket.settimeout(0.1)
        assert sum(is_ended(caller) for caller in silent[1:]) == 3


def test_where_all_connections_are_busy_a_new_one_is_refused_at_once(own_ledger: Ledger) -> None:
    with served(own_ledger, most_connections=16) as server:
        busy = [server.caller() for _ in range(16)]
        for caller in busy:
            caller.send(request(path="/wait"))
        wait_until(lambda: len(server.bodies) == 16, 10, "all to be busy")
        assert refused(server.caller()) == (503, "too-many-connections")
        assert [caller.answer()[0] for caller in busy] == [SLOW] * 16
        assert server.caller().post()[0] == 202
