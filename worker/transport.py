"""kombu's Redis transport, less the ways in which a message can take a worker down.

Measured with kombu 5.7.0: restarts, resets, a full, a read-only and a silent Redis are survived once nothing
is kept in Redis about messages that were fetched (the option `ack_emulation` in `config/celery_options.py`).
What is left is messages that are none, or that say what no message of ours does: whatever they set off in
kombu or Celery ends the worker there, and every worker after it that fetches them.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog
from kombu.exceptions import KombuError
from kombu.transport import redis
from kombu.transport.virtual import Empty
from redis.exceptions import RedisError

from jobs.ledger import get_ledger
from jobs.tallies import Tally, count_alone

log = structlog.get_logger()

# What is about the broker, and answered by connecting again. kombu has KeyError among these.
BROKER_FAULTS: Final[tuple[Any, ...]] = (
    Empty,
    RedisError,
    *(fault for fault in redis.Transport.connection_errors if fault is not KeyError),
)
NEVER_SAID: Final = ("eta", "expires", "group", "stamped_headers")
ACCEPTED: Final = frozenset({"application/json"})


class StrangeMessageError(KombuError):
    """A message asks for what the yard's messages never ask for."""


class Channel(redis.Channel):
    """A channel to Redis that outlives what it reads there.

    A message that cannot be read or handed on is counted, acknowledged and dropped. The job that it may have
    stood for is still queued in the ledger, and is published again.
    """

    def _brpop_read(self, **options: Any) -> bool:
        """Overridden for what is wrong before there is a message."""
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        except BROKER_FAULTS:
            raise
        except Exception as error:
            _drop(error)
            return False

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> str:
        """Overridden for what is wrong with a message, or goes wrong when Celery takes it."""
        guarded = callback if no_ack else _guarded(callback)
        return str(super().basic_consume(queue, no_ack, guarded, consumer_tag, **options))


def _guarded(callback: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def deliver(message: Any) -> Any:
        try:
            _check(message)
            return callback(message)
        except BROKER_FAULTS:
            raise
        except Exception as error:
            _drop(error)
            if not message.acknowledged:
                message.ack()
            return None

    return deliver


def _check(message: Any) -> None:
    # Callbacks and chains of stock Celery would be called without a claim, and publish past the ledger.
    # Limits that are none fail when a slot of the pool is taken already, which is never given back.
    headers = message.headers
    if "task" not in headers:
        return
    message.accept = ACCEPTED
    _, keywords, links = message.payload
    is_plain = (
        isinstance(headers["task"], str)
        and isinstance(headers["id"], str)
        and isinstance(headers.get("retries", 0), int)
        and _are_limits(headers.get("timelimit"))
        and not any(headers.get(name) for name in NEVER_SAID)
    )
    if keywords or any(links.values()) or not is_plain:
        raise StrangeMessageError("a message of the yard names a task and its jobs, and asks for no more")


def _are_limits(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and len(value) == 2 and all(_is_limit(limit) for limit in value)


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and value > 0)


def _drop(error: Exception) -> None:
    log.error("message dropped, no worker can use it", reason=f"{type(error).__name__}: {error}"[:300])
    count_alone(get_ledger().engine, Tally.BAD_MESSAGE)


class Transport(redis.Transport):
    """kombu's Redis transport with channels of ours."""

    Channel = Channel
