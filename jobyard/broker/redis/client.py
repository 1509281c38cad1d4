"""Opens a Redis client from a URL: a server with or without TLS, or the master that Sentinels name.

Only this module does so, apart from the broker's transport. The clients never retry: each caller either works
without Redis or repeats the request itself.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
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


def open_redis(url: str, timeout: timedelta, **options: Any) -> Redis:
    """Return a client that waits up to `timeout` to connect and for each answer; it raises `RedisError`."""
    address, no_retry = parse_redis_url(url), Retry(NoBackoff(), 0)
    options |= redis_options(address, timeout)
    if address.master is None:
        [(host, port)] = address.hosts
        return Redis(host, port, retry=no_retry, **options)
    untyped: Any = Sentinel
    for_sentinels = sentinel_options(address, timeout) | {"retry": no_retry}
    sentinel = untyped(address.hosts, sentinel_kwargs=for_sentinels, **options)
    master: Redis = sentinel.master_for(address.master)
    return master


@asynccontextmanager
async def async_redis(url: str, timeout: timedelta) -> AsyncIterator[AsyncRedis]:
    """Yield the same client for coroutines, and close its connections, which belong to this event loop."""
    address, no_retry = parse_redis_url(url), AsyncRetry(NoBackoff(), 0)
    options = redis_options(address, timeout)
    async with AsyncExitStack() as stack:
        if address.master is None:
            [(host, port)] = address.hosts
            client = AsyncRedis(host=host, port=port, retry=no_retry, **options)
        else:
            untyped: Any = AsyncSentinel
            for_sentinels = sentinel_options(address, timeout) | {"retry": no_retry}
            sentinel = untyped(address.hosts, sentinel_kwargs=for_sentinels, **options)
            client = (await stack.enter_async_context(sentinel)).master_for(address.master)
        yield await stack.enter_async_context(client)
