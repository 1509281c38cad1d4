"""What is wrong with the words of an `amqp://` URL, before anybody is asked."""

from typing import Final
from urllib.parse import urlsplit

AMQP_SCHEMES: Final = ("amqp", "amqps")
ENCODE: Final = "a password that holds one of / ? # @ : has it percent-encoded, like %2F"


def check_amqp_urls(urls: str) -> str:
    """Return `amqp://user:password@host:port/vhost`, or several nodes of one cluster with `;` between them.

    Raises `ValueError` that says how to mend it. Nothing of the URL is repeated: where a password is not
    encoded, any part may belong to it.
    """
    for url in urls.split(";"):
        _check(url)
    return urls


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
    if parts.fragment or "#" in url:
        raise ValueError(f"nothing follows a #; {ENCODE}")
    if "@" in parts.path + parts.query:
        raise ValueError(f"an @ comes after the host; {ENCODE}")
