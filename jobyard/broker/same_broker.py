"""Whether two URLs lead to the same place at the same broker, however they are written."""

from typing import Final
from urllib.parse import unquote, urlsplit

from jobyard.settings.urls.broker_kind import BROKER_SCHEMES

_PORTS: Final = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "sentinel": 26379}


def are_the_same(one: str, other: str) -> bool:
    """Tell whether they name the same kind, host, port, and database or virtual host; users do not matter."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[object, ...]:
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].lower().replace("localhost", "127.0.0.1")
    port = _PORTS.get(parts.scheme)
    if port and not hosts.rpartition("]")[2].rpartition(":")[1]:
        hosts = f"{hosts}:{port}"
    inside = unquote(parts.path.removeprefix("/"))
    usual = "/" if parts.scheme.startswith("amqp") else "0"
    return BROKER_SCHEMES[parts.scheme], hosts, inside or usual
