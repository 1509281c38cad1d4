"""Compares two broker URLs, however they are written."""

from typing import Final
from urllib.parse import unquote, urlsplit

from jobyard.settings.urls.broker_kind import BROKER_SCHEMES

_PORTS: Final = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "sentinel": 26379}


def is_same_broker(url: str, other_url: str) -> bool:
    """Tell whether two URLs name the same kind, host, port and database or virtual host; users may differ."""
    return _address(url) == _address(other_url)


def _address(url: str) -> tuple[object, ...]:
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].lower().replace("localhost", "127.0.0.1")
    port = _PORTS.get(parts.scheme)
    if port and not hosts.rpartition("]")[2].rpartition(":")[1]:
        hosts = f"{hosts}:{port}"
    database = unquote(parts.path.removeprefix("/"))
    default_database = "/" if parts.scheme.startswith("amqp") else "0"
    return BROKER_SCHEMES[parts.scheme], hosts, database or default_database
