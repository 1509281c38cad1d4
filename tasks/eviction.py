"""Whether the Redis that the yard rings through may throw messages away when it is full."""

from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from config.broker_kinds import REDIS_SCHEMES
from config.settings import Settings

SAFE_POLICY = "noeviction"


def eviction_warning(settings: Settings) -> str | None:
    """Return a sentence where the broker may evict what it holds; None where it may not, or does not say."""
    if urlsplit(settings.broker_url).scheme not in REDIS_SCHEMES:
        return None
    patience = settings.broker.timeout.total_seconds()
    try:
        with Redis.from_url(
            settings.broker_url, socket_timeout=patience, socket_connect_timeout=patience
        ) as client:
            policy = str(client.info("memory").get("maxmemory_policy", SAFE_POLICY))
    except (RedisError, OSError):
        return None
    if policy == SAFE_POLICY:
        return None
    return (
        f"Redis may evict messages (maxmemory-policy is {policy}): jobs are safe, but come late; "
        f"set it to {SAFE_POLICY}"
    )
