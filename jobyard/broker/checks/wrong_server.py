"""Finds out which server answers at a port: another one than the URL means, or one with TLS.

The clients of Redis and RabbitMQ report only "Protocol Error" or "closed" then. So this module sends the port
one request that most servers answer, each in its own way.
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

_TIMEOUT_SECONDS: Final = 1.0
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
class WantedServer:
    """The server that a URL means; `product` is `REDIS` or `RABBITMQ`."""

    product: str
    host: str
    port: int
    has_tls: bool

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class FoundServer:
    """The server at a port; `product` is empty for an unknown server that speaks TLS."""

    product: str
    has_tls: bool = False

    def __str__(self) -> str:
        if not self.has_tls:
            return self.product
        return f"{self.product} with TLS" if self.product else "a server with TLS"


def wrong_server_fault(wanted: WantedServer, refused_tls: str = "") -> Fault:
    """Return why the server at a port does not answer like the wanted one.

    `refused_tls` is OpenSSL's reason for a failed TLS handshake.
    """
    found = _identify(wanted.host, wanted.port)
    if found is None:
        return away(f"{wanted.address} does not answer as {wanted.product} would")
    if found.product in (wanted.product, ""):
        return _right_server_fault(wanted, found, refused_tls)
    if found.product in _SCHEMES:
        scheme = _SCHEMES[found.product][found.has_tls]
        return wrong(
            f"{found} answers at {wanted.address}: write {scheme}, or name the address of {wanted.product}"
        )
    return wrong(f"{found} answers at {wanted.address}, and not {wanted.product}: mend the host or the port")


def _right_server_fault(wanted: WantedServer, found: FoundServer, refused_tls: str) -> Fault:
    plain, with_tls = _SCHEMES[wanted.product]
    if found.has_tls and not wanted.has_tls:
        return wrong(f"{wanted.address} speaks TLS: write {with_tls}, or name the port without TLS")
    if wanted.has_tls and not found.has_tls:
        return wrong(f"{wanted.address} answers without TLS: write {plain}, or name the port with TLS")
    if refused_tls:
        return wrong(f"{wanted.address} refuses TLS ({refused_tls}): does it want a certificate?")
    return away(f"{wanted.address} does not answer as {wanted.product} would")


def _identify(host: str, port: int) -> FoundServer | None:
    try:
        if product := _product(_request(host, port, _HELLO)):
            return FoundServer(product)
        if _request(host, port, _HELLO_POSTGRESQL) in (b"S", b"N"):
            return FoundServer("PostgreSQL")
        return FoundServer(_product(_request(host, port, _HELLO, _with_tls)) or "", has_tls=True)
    except OSError:
        return None


def _plain(connection: socket.socket) -> socket.socket:
    return connection


def _with_tls(connection: socket.socket) -> socket.socket:
    # This sends nothing secret, and the certificate may be just what is wrong.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def _request(
    host: str, port: int, hello: bytes, wrap: Callable[[socket.socket], socket.socket] = _plain
) -> bytes:
    """Return the answer, empty if there is none; raises `OSError` if there is no connection."""
    with socket.create_connection((host, port), _TIMEOUT_SECONDS) as bare, wrap(bare) as connection:
        connection.settimeout(_TIMEOUT_SECONDS)
        try:
            connection.sendall(hello)
            return connection.recv(1024)
        except OSError:
            return b""


def _product(answer: bytes) -> str | None:
    if not answer or answer.startswith(b"\x15\x03"):  # a TLS alert, to a request without TLS
        return None
    known = next((name for pattern, name in _ANSWERS if pattern.match(answer)), None)
    return known or f"a server that says {answer[:_LONGEST_SHOWN].decode('ascii', 'replace')!r}"
