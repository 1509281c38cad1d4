"""kombu's Redis transport, guarded so that no message can end a worker.

Measured with kombu 5.7.0: a worker survives a Redis that restarts, resets connections, or is full, read-only
or silent, once kombu keeps nothing in Redis about fetched messages (the option `ack_emulation` in
`jobyard/broker/broker_options.py`). This module guards against the rest: malformed and foreign messages.
"""

from typing import Any, Final

from kombu import Connection
from kombu.transport import redis
from kombu.transport.virtual import Empty
from redis.exceptions import RedisError

from jobyard.broker.malformed_messages import guarded_callback, record_dropped

# Errors of the broker, after which the worker connects again. kombu counts KeyError among them.
BROKER_FAULTS: Final[tuple[Any, ...]] = (
    Empty,
    RedisError,
    *(fault for fault in redis.Transport.connection_errors if fault is not KeyError),
)


class GuardedChannel(redis.Channel):
    """A channel to Redis that survives any message, with and without Sentinel."""

    # kombu would put back what it has fetched when a connection is lost, though the jobs run on, and pickle
    # into a file in TMPDIR what Redis does not take. The keeper publishes again what was fetched and not run.
    do_restore = False

    def _brpop_read(self, **options: Any) -> bool:
        """Overridden so that an entry that kombu cannot read as a message is dropped."""
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        except BROKER_FAULTS:
            raise
        except Exception as error:
            record_dropped(error)
            return False

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> str:
        """Overridden so that malformed messages, and messages that Celery fails on, are dropped."""
        safe = callback if no_ack else guarded_callback(callback, BROKER_FAULTS)
        return str(super().basic_consume(queue, no_ack, safe, consumer_tag, **options))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        """Overridden because kombu sends EXISTS without the key prefix."""
        return bool(self._size(queue))


class Transport(redis.Transport):
    """kombu's Redis transport with guarded channels."""

    Channel = GuardedChannel


# The scheme in displayed URLs and for Flower, which knows kombu's own transports only.
Connection.resolve_aliases[f"{__name__}:Transport"] = "redis"
