"""Checks whether the broker's Redis may evict messages when it is full."""

from jobyard.settings import Settings
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

SAFE_POLICY = "noeviction"


def eviction_warning(settings: Settings) -> str | None:
    """Return a warning if the broker may evict messages; None if it may not, or does not answer."""
    if broker_kind(settings.broker_url) not in (BrokerKind.REDIS, BrokerKind.SENTINEL):
        return None
    from redis.exceptions import RedisError

    from jobyard.broker.redis.client import open_redis

    try:
        with open_redis(settings.broker_url, settings.broker.timeout) as client:
            policy = str(client.info("memory").get("maxmemory_policy", SAFE_POLICY))
    except (RedisError, OSError):
        return None
    if policy == SAFE_POLICY:
        return None
    return (
        f"Redis may evict messages (maxmemory-policy is {policy}): jobs are safe, but come late; "
        f"set it to {SAFE_POLICY}"
    )
