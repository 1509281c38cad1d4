"""Opens a Redis by a URL of ours: a server, with TLS or without, or the master that Sentinels name.

The one place that does, apart from the broker's transport. Nothing is tried twice here: whoever asks knows
what to do without Redis, or asks again.
"""

from datetime import timedelta
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from jobyard.settings.redis_options import redis_options, sentinel_options
from jobyard.settings.urls.redis import parse_redis_url


def open_redis(url: str, patience: timedelta, **options: Any) -> Redis:
    """Return a client that waits so long to connect, and for an answer; it raises `RedisError`."""
    place, once = parse_redis_url(url), Retry(NoBackoff(), 0)
    options |= redis_options(place, patience)
    if place.master is None:
        [(host, port)] = place.hosts
        return Redis(host, port, retry=once, **options)
    untyped: Any = Sentinel
    asked = sentinel_options(place, patience) | {"retry": once}
    master: Redis = untyped(place.hosts, sentinel_kwargs=asked, **options).master_for(place.master)
    return master


def open_async_redis(url: str, patience: timedelta) -> AsyncRedis:
    """Return the same for coroutines; it belongs to the loop that uses it first."""
    place, once = parse_redis_url(url), AsyncRetry(NoBackoff(), 0)
    options = redis_options(place, patience)
    if place.master is None:
        [(host, port)] = place.hosts
        return AsyncRedis(host=host, port=port, retry=once, **options)
    untyped: Any = AsyncSentinel
    asked = sentinel_options(place, patience) | {"retry": once}
    master: AsyncRedis = untyped(place.hosts, sentinel_kwargs=asked, **options).master_for(place.master)
    return master
