"""What to do where a server does not speak as it should: it is another one, or has TLS where none is meant.

The clients of Redis and RabbitMQ say "Protocol Error" or "closed" there, whatever it is. So the port is asked
once in words that most servers answer, each in its own way.
"""

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jobyard.broker.checks.fault import Fault, away, wrong

REDIS: Final = "Redis"
RABBITMQ: Final = "RabbitMQ"
_SCHEMES: Final = {REDIS: ("redis://", "rediss://"), RABBITMQ: ("amqp://", "amqps://")}

_PATIENCE_SECONDS: Final = 1.0
# An inline command to Redis, a request of an unknown method to HTTP, and a wrong header to AMQP.
_HELLO: Final = b"PING / HTTP/1.0\r\n\r\n"
# "May I use TLS?" (https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest)
_HELLO_POSTGRESQL: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_ANSWERS: Final = (
    (re.compile(rb"\+PONG|-[A-Z]+ "), REDIS),
    (re.compile(rb"AMQP"), RABBITMQ),
    (re.compile(rb"HTTP/|<!DOCTYPE|<html", re.I), "an HTTP server"),
)
_LONGEST_SHOWN: Final = 40


@dataclass(frozen=True)
class Wanted:
    """The server that a URL asks for; `what` is `REDIS` or `RABBITMQ`."""

    what: str
    host: str
    port: int
    has_tls: bool

    @property
    def at(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Found:
    """The server at a port; `what` is empty where it speaks TLS and nothing that is known here."""

    what: str
    has_tls: bool = False

    def __str__(self) -> str:
        if not self.has_tls:
            return self.what
        return f"{self.what} with TLS" if self.what else "a server with TLS"


def wrong_server_fault(wanted: Wanted, refused_tls: str = "") -> Fault:
    """Return what is the matter where the wanted server does not answer as one.

    `refused_tls` is what OpenSSL says of a failed attempt to speak TLS.
    """
    found = _find(wanted.host, wanted.port)
    if found is None:
        return away(f"{wanted.at} does not answer as {wanted.what} would")
    if found.what in (wanted.what, ""):
        return _right_server_fault(wanted, found, refused_tls)
    if found.what in _SCHEMES:
        scheme = _SCHEMES[found.what][found.has_tls]
        return wrong(f"{found} answers at {wanted.at}: write {scheme}, or name the place of {wanted.what}")
    return wrong(f"{found} answers at {wanted.at}, and not {wanted.what}: mend the host or the port")


def _right_server_fault(wanted: Wanted, found: Found, refused_tls: str) -> Fault:
    plain, with_tls = _SCHEMES[wanted.what]
    if found.has_tls and not wanted.has_tls:
        return wrong(f"{wanted.at} speaks TLS: write {with_tls}, or name the port without TLS")
    if wanted.has_tls and not found.has_tls:
        return wrong(f"{wanted.at} answers without TLS: write {plain}, or name the port with TLS")
    if refused_tls:
        return wrong(f"{wanted.at} refuses TLS ({refused_tls}): does it want a certificate?")
    return away(f"{wanted.at} does not answer as {wanted.what} would")


def _find(host: str, port: int) -> Found | None:
    try:
        if name := _name(_ask(host, port, _HELLO)):
            return Found(name)
        if _ask(host, port, _HELLO_POSTGRESQL) in (b"S", b"N"):
            return Found("PostgreSQL")
        return Found(_name(_ask(host, port, _HELLO, _with_tls)) or "", has_tls=True)
    except OSError:
        return None


def _plain(connection: socket.socket) -> socket.socket:
    return connection


def _with_tls(connection: socket.socket) -> socket.socket:
    # Nothing secret is said here, and which server it is may well be the question.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def _ask(
    host: str, port: int, hello: bytes, wrapped: Callable[[socket.socket], socket.socket] = _plain
) -> bytes:
    """Return the answer, nothing where there is none; raises `OSError` where there is no connection."""
    with socket.create_connection((host, port), _PATIENCE_SECONDS) as bare, wrapped(bare) as connection:
        connection.settimeout(_PATIENCE_SECONDS)
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
