"""Servers that are no brokers: each greets, or not, and answers whatever it is told with the same words."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
SMTP = b"220 mail.example.org ESMTP\r\n"


@contextmanager
def stranger(answer: bytes, *, greets: bool = False) -> Iterator[int]:
    """Run one for the block; return its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, answer, greets), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def swallower() -> Iterator[int]:
    """Run a port for the block that takes every connection and every word, and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, answer: bytes, greets: bool) -> None:
    with suppress(OSError):
        while True:
            caller, _ = listener.accept()
            with caller, suppress(OSError):
                caller.settimeout(2)
                if greets or caller.recv(1000):
                    caller.sendall(answer)
                while caller.recv(1000):
                    continue
