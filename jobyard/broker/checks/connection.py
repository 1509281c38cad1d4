"""Explains why no connection came about, in the same words for every kind of server."""

import errno
import socket
import ssl
from typing import Final

from jobyard.broker.checks.fault import Fault, away, causes, wrong
from jobyard.broker.checks.wrong_server import WantedServer, wrong_server_fault

UNREACHABLE: Final = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


def connection_fault(error: BaseException, wanted: WantedServer) -> Fault:
    """Return the cause of a failed connection: a name, a port, a certificate, or another server."""
    refused_tls = ""
    for cause in causes(error):
        match cause:
            case socket.gaierror():
                return away(f"the name {wanted.host!r} has no address now ({cause.strerror})")
            case ConnectionRefusedError():
                return away(f"no server listens at {wanted.address}")
            case OSError() if cause.errno in UNREACHABLE:
                return away(f"{wanted.address} cannot be reached ({cause.strerror})")
            case FileNotFoundError():
                return wrong(f"a file that the URL names does not exist ({cause})")
            case ssl.SSLCertVerificationError():
                return wrong(
                    f"the certificate of {wanted.address} is not trusted ({cause.verify_message}): name "
                    "its authority with ?ssl_ca_certs=FILE, or mend the host"
                )
            case ssl.SSLError():
                refused_tls = cause.reason or ""
    return wrong_server_fault(wanted, refused_tls)
