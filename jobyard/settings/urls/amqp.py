"""Where a RabbitMQ is, read from its URL; several nodes of one cluster have `;` between them.

amqp://user:password@host:port/vhost
amqps://user:password@host:port/vhost?ssl_ca_certs=FILE          with TLS, and the host's name checked
"""

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

AMQP_SCHEMES: Final = ("amqp", "amqps")
# The names that Redis has for them, by those of Python's `ssl`.
FILES: Final = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
CHECKS_OF_CERTIFICATES: Final = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
CHECKS: Final = "ssl_cert_reqs"
MANAGEMENT_PORT: Final = 15672
ENCODE: Final = "a password that holds one of / ? # @ : has it percent-encoded, like %2F"


def check_amqp_urls(urls: str) -> str:
    """Return the URLs; raises `ValueError` that says how to mend them.

    No login is repeated, nor what may be a part of one: where a password is not encoded, almost anything is.
    """
    for url in urls.split(";"):
        _check(url)
    return urls


def plain_urls(urls: str) -> list[str]:
    """Return the URLs of the nodes with nothing after the virtual host."""
    return [urlsplit(url)._replace(query="").geturl() for url in urls.split(";")]


def amqp_tls(urls: str) -> dict[str, Any] | None:
    """Return what kombu is told of TLS, or None where the first of the URLs does without."""
    parts = urlsplit(urls.split(";")[0])
    if parts.scheme != "amqps":
        return None
    query = dict(parse_qsl(parts.query))
    checks = CHECKS_OF_CERTIFICATES[query.get(CHECKS, "required")]
    told = {"cert_reqs": checks} | {FILES[name]: query[name] for name in FILES if name in query}
    # None is for kombu to fill in. Without a name any certificate would do whose signer is trusted.
    return told if checks is ssl.CERT_NONE else told | {"server_hostname": None}


def management_api(urls: str) -> str:
    """Return where RabbitMQ's management plugin answers for the first node, with the user of the URL."""
    login, _, place = urlsplit(urls.split(";")[0]).netloc.rpartition("@")
    host = place if place.endswith("]") else place.rpartition(":")[0] or place
    return f"http://{login or 'guest:guest'}@{host}:{MANAGEMENT_PORT}/api/"


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is none, a bracket that does not close
        raise ValueError(f"the port is no number from 1 to 65535; or else {ENCODE}") from None
    if parts.scheme not in AMQP_SCHEMES:
        raise ValueError(f"after a ; comes another node with amqp:// or amqps://; or else {ENCODE}")
    if port == 0:
        raise ValueError("the port is no number from 1 to 65535")
    if not parts.hostname:
        raise ValueError(f"a host is missing: write {parts.scheme}://user:password@host:port/vhost; {ENCODE}")
    if "#" in url:
        raise ValueError(f"nothing follows a #; {ENCODE}")
    if "@" in parts.path + parts.query:
        raise ValueError(f"an @ comes after the host; {ENCODE}")
    _check_parameters(parts)


def _check_parameters(parts: SplitResult) -> None:
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if (parts.query and not query) or not query.keys() <= {*FILES, CHECKS}:
        raise ValueError(f"after a ? come {', '.join([*FILES, CHECKS])} and nothing else; {ENCODE}")
    if query and parts.scheme != "amqps":
        raise ValueError(f"{', '.join(query)} without TLS: switch it on with amqps://")
    for name in query.keys() & FILES.keys():
        if not Path(query[name]).is_file():
            raise ValueError(f"{name}: there is no file {query[name]}")
    if query.get(CHECKS, "required") not in CHECKS_OF_CERTIFICATES:
        raise ValueError(f"{CHECKS} is one of {', '.join(CHECKS_OF_CERTIFICATES)}")
