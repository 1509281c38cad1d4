"""kombu's Redis transport, less the ways in which a message can take a worker down.

Measured with kombu 5.7.0: restarts, resets, a full, a read-only and a silent Redis are survived once nothing
is kept in Redis about messages that were fetched (the option `ack_emulation` in
`jobyard/broker/broker_options.py`). What is left is messages that are none, or that say what no message of
ours does.
"""

from typing import Any, Final

from kombu import Connection
from kombu.transport import redis
from kombu.transport.virtual import Empty
from redis.exceptions import RedisError

from jobyard.broker.malformed_messages import drop, guarded

# What is about the broker, and answered by connecting again. kombu has KeyError among these.
BROKER_FAULTS: Final[tuple[Any, ...]] = (
    Empty,
    RedisError,
    *(fault for fault in redis.Transport.connection_errors if fault is not KeyError),
)


class GuardedChannel(redis.Channel):
    """A channel to Redis that outlives what it reads there, for each way to a Redis."""

    def _brpop_read(self, **options: Any) -> bool:
        """Overridden for what is wrong before there is a message."""
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        except BROKER_FAULTS:
            raise
        except Exception as error:
            drop(error)
            return False

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> str:
        """Overridden for what is wrong with a message, or goes wrong when Celery takes it."""
        safe = callback if no_ack else guarded(callback, BROKER_FAULTS)
        return str(super().basic_consume(queue, no_ack, safe, consumer_tag, **options))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        """Overridden because kombu asks with EXISTS, before which it puts no prefix."""
        return bool(self._size(queue))


class Transport(redis.Transport):
    """kombu's Redis transport with channels of ours."""

    Channel = GuardedChannel


# Its name where a URL is shown, and where Flower reads one: else Flower knows no such broker.
Connection.resolve_aliases[f"{__name__}:Transport"] = "redis"
