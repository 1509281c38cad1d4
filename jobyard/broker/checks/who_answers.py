"""Who answers at a port: asked in words that most servers answer, each in its own way."""

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

REDIS: Final = "Redis"
RABBITMQ: Final = "RabbitMQ"
HTTP: Final = "an HTTP server"

# An inline command to Redis, a request of an unknown method to HTTP, and a wrong header to AMQP.
_HELLO: Final = b"PING / HTTP/1.0\r\n\r\n"
# "May I use TLS?" (https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest)
_HELLO_POSTGRESQL: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_ANSWERS: Final = (
    (re.compile(rb"\+PONG|-[A-Z]+ "), REDIS),
    (re.compile(rb"AMQP"), RABBITMQ),
    (re.compile(rb"HTTP/|<!DOCTYPE|<html", re.I), HTTP),
    (re.compile(rb"220[ -]"), "a mail server (SMTP)"),
    (re.compile(rb"SSH-"), "an SSH server"),
    (re.compile(rb".{3}\x00\x0a.*", re.S), "MySQL or MariaDB"),
)
_LONGEST_SHOWN: Final = 40


@dataclass(frozen=True)
class Peer:
    """Who listens at a port; `what` is empty where it speaks TLS and nothing that is known here."""

    what: str
    has_tls: bool = False

    def __str__(self) -> str:
        if not self.has_tls:
            return self.what
        return f"{self.what} with TLS" if self.what else "a server with TLS"


def who_answers(host: str, port: int, patience: float) -> Peer | None:
    """Return who answers, or None where nobody does; each of three questions waits for `patience` seconds."""
    try:
        if name := _name(_ask(host, port, patience, _HELLO)):
            return Peer(name)
        if _ask(host, port, patience, _HELLO_POSTGRESQL) in (b"S", b"N"):
            return Peer("PostgreSQL")
        return Peer(_name(_ask(host, port, patience, _HELLO, _with_tls)) or "", has_tls=True)
    except OSError:
        return None


def _plain(connection: socket.socket) -> socket.socket:
    return connection


def _with_tls(connection: socket.socket) -> socket.socket:
    # Nothing that is worth guarding is said here, and who it is may well be the question.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def _ask(
    host: str,
    port: int,
    patience: float,
    hello: bytes,
    wrapped: Callable[[socket.socket], socket.socket] = _plain,
) -> bytes:
    """Return the answer, nothing where there is none; raises `OSError` where there is no connection."""
    with socket.create_connection((host, port), patience) as bare, wrapped(bare) as connection:
        connection.settimeout(patience)
        try:
            connection.sendall(hello)
            return connection.recv(1024)
        except OSError:
            return b""


def _name(said: bytes) -> str | None:
    if not said or said.startswith(b"\x15\x03"):  # a TLS alert, to words that are no TLS
        return None
    known = next((name for pattern, name in _ANSWERS if pattern.match(said)), None)
    return known or f"a server that says {said[:_LONGEST_SHOWN].decode('ascii', 'replace')!r}"
