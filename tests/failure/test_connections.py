"""Callers who say nothing, or too much, cannot shut others out of the API."""

import resource
import socket
import sys
from contextlib import ExitStack, suppress

import httpx
import psutil

from tests.support.own_yard import OwnYard
from tests.support.processes import answers
from tests.support.waiting import wait_until

# The API is started as by `ulimit -Sn 1024`, and may raise its limit to the second figure.
LIMITED = (
    "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
    "from jobyard.http.server import main; main()"
)
SILENT = 1_200
MEBIBYTE = 1024 * 1024


def start_api(own: OwnYard, hard: int) -> psutil.Process:
    code = LIMITED.format(soft=min(1024, hard), hard=hard)
    api = own.start_command("api", sys.executable, "-c", code)
    wait_until(lambda: answers(own.port("API")) or api.process.poll() is not None, 40, "the API to answer")
    return psutil.Process(api.process.pid)


def accepts(own: OwnYard) -> bool:
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    return httpx.post(url, json={"then": "return"}, timeout=20).status_code == 202


def connect(own: OwnYard, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", own.port("API")), timeout=20))


def test_1200_silent_connections_shut_nobody_out(own: OwnYard) -> None:
    api = start_api(own, hard=1024)
    with ExitStack() as stack:
        for number in range(SILENT):
            connect(own, stack).send(b"GET / HTTP/1.1\r\n" * (number % 2))
        assert accepts(own)
        wait_until(lambda: "too many connections" in own.programs[-1].output(), 5, "the log to say so")
        assert api.num_fds() < 1024
    assert "fewer connections than JOBYARD_API__MAX_CONNECTIONS" in own.programs[-1].output()


def test_the_limit_of_open_files_is_raised_to_what_the_system_allows(own: OwnYard) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    api = start_api(own, hard=hard)
    assert api.rlimit(psutil.RLIMIT_NOFILE)[0] == min(hard, 65_536)
    with ExitStack() as stack:
        for _ in range(SILENT):
            connect(own, stack)
        assert accepts(own)
        assert api.num_fds() > SILENT, "all of them stay"


def test_bodies_that_never_end_take_bounded_memory(own: OwnYard) -> None:
    api = start_api(own, hard=4096)
    assert accepts(own)
    before = api.memory_info().rss
    head = b"POST /v1/tasks/bad.deed/jobs/bulk HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Type: application/json\r\n"
    with ExitStack() as stack:
        for _ in range(20):
            caller = connect(own, stack)
            caller.sendall(head + b"Content-Length: %d\r\n\r\n" % (30 * MEBIBYTE))
            with suppress(ConnectionError):
                caller.sendall(b"x" * (29 * MEBIBYTE))
        wait_until(lambda: "too large bodies" in own.programs[-1].output(), 20, "the log to say so")
        assert accepts(own)
        assert api.memory_info().rss - before < 450 * MEBIBYTE, "of 580 that were sent"


def test_a_head_of_64_megabytes_costs_no_memory(own: OwnYard) -> None:
    api = start_api(own, hard=1024)
    assert accepts(own)
    before = api.memory_info().rss
    with ExitStack() as stack:
        for _ in range(4):
            caller = connect(own, stack)
            caller.send(b"GET / HTTP/1.1\r\n")
            with suppress(ConnectionError):  # it is cut off
                for _ in range(64):
                    caller.sendall(b"x: " + b"y" * MEBIBYTE)
        assert accepts(own)
        assert api.memory_info().rss - before < 16 * MEBIBYTE
