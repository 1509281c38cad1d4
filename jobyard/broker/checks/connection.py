"""What is the matter where there is no connection to speak of, in the same words for every kind of server."""

import errno
import socket
import ssl
from typing import Final

from jobyard.broker.checks.fault import Fault, away, causes, wrong
from jobyard.broker.checks.wrong_server import Wanted, wrong_server_fault

UNREACHABLE: Final = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


def connection_fault(error: BaseException, wanted: Wanted) -> Fault:
    """Return what a failed connection means: a name, a port, a certificate, or somebody else."""
    refused_tls = ""
    for cause in causes(error):
        match cause:
            case socket.gaierror():
                return away(f"the name {wanted.host!r} leads to no address now ({cause.strerror})")
            case ConnectionRefusedError():
                return away(f"nobody listens at {wanted.at}")
            case OSError() if cause.errno in UNREACHABLE:
                return away(f"{wanted.at} cannot be reached ({cause.strerror})")
            case FileNotFoundError():
                return wrong(f"a file that the URL names is not there ({cause})")
            case ssl.SSLCertVerificationError():
                return wrong(
                    f"the certificate of {wanted.at} is not trusted ({cause.verify_message}): name who "
                    "signed it with ?ssl_ca_certs=FILE, or mend the host"
                )
            case ssl.SSLError():
                refused_tls = cause.reason or ""
    return wrong_server_fault(wanted, refused_tls)
