"""What redis-py is told when it connects to a Redis or a Sentinel, as pure functions of the place."""

from datetime import timedelta
from typing import Any

from jobyard.settings.urls.redis import RedisPlace


def redis_options(place: RedisPlace, patience: timedelta) -> dict[str, Any]:
    """Return the options for a connection to a server: who asks, for which database, and how safely."""
    return {
        "db": place.db,
        "username": place.username,
        "password": place.password,
        **_connecting(place, patience),
    }


def sentinel_options(place: RedisPlace, patience: timedelta) -> dict[str, Any]:
    """Return the options for a connection to a Sentinel, which has users of its own."""
    return {
        "username": place.sentinel_username,
        "password": place.sentinel_password,
        **_connecting(place, patience),
    }


def _connecting(place: RedisPlace, patience: timedelta) -> dict[str, Any]:
    seconds = patience.total_seconds()
    tls = {"ssl": True, **place.tls} if place.tls else {}
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds, **tls}
