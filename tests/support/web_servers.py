"""Servers for one test each."""

import socket
from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from tests.support.http_server import HttpServer


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


@pytest.fixture
def saying() -> Iterator[Callable[[bytes], int]]:
    """A server that reads a request, says its words and hangs up; returns its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def say(words: bytes) -> int:
            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(words)

            Thread(target=serve, daemon=True).start()
            port: int = listener.getsockname()[1]
            return port

        yield say
