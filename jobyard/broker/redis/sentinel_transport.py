"""The transport of `jobyard/broker/redis/transport.py` to whichever server the Sentinels name as the master.

kombu's own takes the Sentinels from a list of URLs. It goes from one to the next when a connection fails, and
with that from the transport that it was given to its own.
"""

from typing import Any, Final

from kombu import Connection
from kombu.transport import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedSSLConnection

from jobyard.broker.redis.transport import GuardedChannel

# One Sentinel that is gone is no reason to wait: there are others to ask.
ONCE: Final = Retry(NoBackoff(), 0)


class Channel(GuardedChannel, redis.SentinelChannel):
    """A channel to the master, with its guards."""

    connection_class_ssl = SentinelManagedSSLConnection
    sentinels: Any = ()
    sentinel_kwargs: Any = None
    master_name: str = ""
    from_transport_options = (*redis.SentinelChannel.from_transport_options, "sentinels")

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:
        """Overridden for Sentinels that are an option, and asked once each."""
        channel: Any = self  # of which the stubs know little
        options = channel._connparams(asynchronous)
        for name in ("host", "port"):
            options.pop(name)
        untyped: Any = Sentinel
        asked = (self.sentinel_kwargs or {}) | {"retry": ONCE}
        manager: Any = untyped(self.sentinels, sentinel_kwargs=asked, **options)
        # By these names kombu finds them when it closes the channel.
        if asynchronous:
            channel._async_sentinel_manager = manager
        else:
            channel._sentinel_manager = manager
        return manager.master_for(self.master_name).connection_pool


class Transport(redis.SentinelTransport):
    """kombu's transport for Sentinel with channels of ours."""

    Channel = Channel


Connection.resolve_aliases[f"{__name__}:Transport"] = "sentinel"
