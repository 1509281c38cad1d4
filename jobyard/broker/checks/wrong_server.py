"""Where a server does not speak as it should: it is another one, or has TLS where none is meant."""

from dataclasses import dataclass
from typing import Final

from jobyard.broker.checks.fault import Fault, away, wrong
from jobyard.broker.checks.who_answers import RABBITMQ, REDIS, who_answers

PATIENCE_SECONDS: Final = 1.0
_SCHEMES: Final = {REDIS: ("redis://", "rediss://"), RABBITMQ: ("amqp://", "amqps://")}


@dataclass(frozen=True)
class Wanted:
    """The server that a URL asks for."""

    what: str
    host: str
    port: int
    has_tls: bool

    @property
    def at(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def schemes(self) -> tuple[str, str]:
        return _SCHEMES[self.what]


def stranger(wanted: Wanted, refused_tls: str = "") -> Fault:
    """Return what is the matter where the server that is wanted does not answer as one.

    `refused_tls` is what OpenSSL says of a failed attempt to speak TLS.
    """
    peer = who_answers(wanted.host, wanted.port, PATIENCE_SECONDS)
    if peer is None:
        return away(f"{wanted.at} does not answer as {wanted.what} would")
    is_it = peer.what in (wanted.what, "")
    plain, with_tls = wanted.schemes
    if is_it and peer.has_tls and not wanted.has_tls:
        return wrong(f"{wanted.at} speaks TLS: write {with_tls}, or name the port without TLS")
    if is_it and wanted.has_tls and not peer.has_tls:
        return wrong(f"{wanted.at} answers without TLS: write {plain}, or name the port with TLS")
    if is_it and refused_tls:
        return wrong(
            f"{wanted.at} refuses TLS as it is spoken here ({refused_tls}): it may want a certificate"
        )
    if is_it:
        return away(f"{wanted.at} does not answer as {wanted.what} would")
    if peer.what in _SCHEMES:
        scheme = _SCHEMES[peer.what][peer.has_tls]
        return wrong(f"{peer} answers at {wanted.at}: write {scheme}, or name the place of {wanted.what}")
    return wrong(f"{peer} answers at {wanted.at}, and not {wanted.what}: mend the host or the port")
