"""redis-py's options for a connection to a Redis or a Sentinel, as pure functions of the address."""

from datetime import timedelta
from typing import Any

from jobyard.settings.urls.redis import RedisAddress


def redis_options(address: RedisAddress, timeout: timedelta) -> dict[str, Any]:
    """Return the options for a connection to a server: database, login, timeouts and TLS."""
    return {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        **_connection_options(address, timeout),
    }


def sentinel_options(address: RedisAddress, timeout: timedelta) -> dict[str, Any]:
    """Return the options for a connection to a Sentinel, which has a login of its own."""
    return {
        "username": address.sentinel_username,
        "password": address.sentinel_password,
        **_connection_options(address, timeout),
    }


def _connection_options(address: RedisAddress, timeout: timedelta) -> dict[str, Any]:
    seconds = timeout.total_seconds()
    tls = {"ssl": True, **address.tls} if address.tls else {}
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds, **tls}
