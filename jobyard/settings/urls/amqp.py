"""Parses the URL of a RabbitMQ; the nodes of a cluster are separated by `;`.

amqp://user:password@host:port/vhost
amqps://user:password@host:port/vhost?ssl_ca_certs=FILE          with TLS, and the host's name checked
"""

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

AMQP_SCHEMES: Final = ("amqp", "amqps")
# The parameters, named as for Redis, and their names in Python's `ssl`.
FILES: Final = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
CHECKS_OF_CERTIFICATES: Final = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
CHECKS: Final = "ssl_cert_reqs"
MANAGEMENT_PORT: Final = 15672
ENCODE: Final = "/ ? # @ : in a password must be percent-encoded, / as %2F"


def check_amqp_urls(urls: str) -> str:
    """Return the URLs; raises `ValueError` with the way to mend them.

    The message repeats no login, and nothing that may be part of one: with an unencoded password, that is
    almost any part of the URL.
    """
    for url in urls.split(";"):
        _check(url)
    return urls


def plain_urls(urls: str) -> list[str]:
    """Return the URLs of the nodes without their parameters."""
    return [urlsplit(url)._replace(query="").geturl() for url in urls.split(";")]


def amqp_tls(urls: str) -> dict[str, Any] | None:
    """Return kombu's TLS options, or None where the first URL is without TLS."""
    parts = urlsplit(urls.split(";")[0])
    if parts.scheme != "amqps":
        return None
    query = dict(parse_qsl(parts.query))
    checks = CHECKS_OF_CERTIFICATES[query.get(CHECKS, "required")]
    options = {"cert_reqs": checks} | {FILES[name]: query[name] for name in FILES if name in query}
    # kombu fills in the host. Without `server_hostname` any certificate of a trusted authority would pass.
    return options if checks is ssl.CERT_NONE else options | {"server_hostname": None}


def management_api(urls: str) -> str:
    """Return the URL of the first node's management API, with the user of the broker's URL."""
    login, _, address = urlsplit(urls.split(";")[0]).netloc.rpartition("@")
    host = address if address.endswith("]") else address.rpartition(":")[0] or address
    return f"http://{login or 'guest:guest'}@{host}:{MANAGEMENT_PORT}/api/"


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a wrong port, or a bracket that does not close
        raise ValueError(f"the port must be a number from 1 to 65535; or else {ENCODE}") from None
    if parts.scheme not in AMQP_SCHEMES:
        raise ValueError(f"after a ; another node must follow, with amqp:// or amqps://; or else {ENCODE}")
    if port == 0:
        raise ValueError("the port must be a number from 1 to 65535")
    if not parts.hostname:
        raise ValueError(f"a host is missing: write {parts.scheme}://user:password@host:port/vhost; {ENCODE}")
    if "#" in url:
        raise ValueError(f"the URL must not contain a #; {ENCODE}")
    if "@" in parts.path + parts.query:
        raise ValueError(f"there is an @ after the host; {ENCODE}")
    _check_parameters(parts)


def _check_parameters(parts: SplitResult) -> None:
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if (parts.query and not query) or not query.keys() <= {*FILES, CHECKS}:
        raise ValueError(f"only {', '.join([*FILES, CHECKS])} may follow a ?; {ENCODE}")
    if query and parts.scheme != "amqps":
        raise ValueError(f"{', '.join(query)} without TLS: switch TLS on with amqps://")
    for name in query.keys() & FILES.keys():
        if not Path(query[name]).is_file():
            raise ValueError(f"{name}: there is no file {query[name]}")
    if query.get(CHECKS, "required") not in CHECKS_OF_CERTIFICATES:
        raise ValueError(f"{CHECKS} must be one of {', '.join(CHECKS_OF_CERTIFICATES)}")
