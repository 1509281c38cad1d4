"""The transport of `jobyard/broker/redis/transport.py` to the server that the Sentinels name as the master.

kombu's own transport takes the Sentinels from a list of URLs. When a connection fails, kombu goes to the next
URL, and replaces the transport that it was given with its own.
"""

from typing import Any, Final

from kombu import Connection
from kombu.transport import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedSSLConnection

from jobyard.broker.redis.transport import GuardedChannel

# A Sentinel that does not answer is not asked again: there are others.
NO_RETRY: Final = Retry(NoBackoff(), 0)


class Channel(GuardedChannel, redis.SentinelChannel):
    """A guarded channel to the master."""

    connection_class_ssl = SentinelManagedSSLConnection
    sentinels: Any = ()
    sentinel_kwargs: Any = None
    master_name: str = ""
    from_transport_options = (*redis.SentinelChannel.from_transport_options, "sentinels")

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:
        """Overridden so that the Sentinels come from an option, and each is asked once."""
        channel: Any = self  # kombu's stubs lack these members
        options = channel._connparams(asynchronous)
        for name in ("host", "port"):
            options.pop(name)
        untyped: Any = Sentinel
        for_sentinels = (self.sentinel_kwargs or {}) | {"retry": NO_RETRY}
        manager: Any = untyped(self.sentinels, sentinel_kwargs=for_sentinels, **options)
        # kombu looks for the managers under these names when it closes the channel.
        if asynchronous:
            channel._async_sentinel_manager = manager
        else:
            channel._sentinel_manager = manager
        return manager.master_for(self.master_name).connection_pool


class Transport(redis.SentinelTransport):
    """kombu's transport for Sentinel with guarded channels."""

    Channel = Channel


Connection.resolve_aliases[f"{__name__}:Transport"] = "sentinel"
