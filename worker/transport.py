"""kombu's Redis transport, less the two ways in which it can lose a worker.

Measured with kombu 5.7.0: restarts, resets, a full, a read-only and a silent Redis are survived once nothing
is kept in Redis about messages that were fetched (the option `ack_emulation` in `config/celery_options.py`).
What is left is a message that is none.
"""

import json
from typing import Any

import structlog
from kombu.transport import redis, virtual

from jobs.ledger import get_ledger
from jobs.tallies import Tally, count_alone

log = structlog.get_logger()


class MalformedMessageError(ValueError):
    """What came out of a queue is no Celery message."""


class CheckedMessage(virtual.Message):
    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        """Overridden so that a message without the fields of one is named as such, and not a KeyError."""
        try:
            super().__init__(payload, channel=channel, **options)
        except (TypeError, KeyError, AttributeError) as error:
            raise MalformedMessageError(f"no Celery message: {error!r}") from error


class Channel(redis.Channel):
    """A channel to Redis that outlives what it reads there."""

    Message = CheckedMessage

    def _brpop_read(self, **options: Any) -> bool:
        """Overridden so that a message that cannot be read is logged and dropped.

        In kombu it ends the worker, and every worker after it that fetches the next one. The job it may
        have stood for is still queued in the ledger, and is published again.
        """
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, MalformedMessageError) as error:
            log.error("message dropped, it cannot be read", reason=str(error)[:300])
            count_alone(get_ledger().engine, Tally.BAD_MESSAGE)
            return False


class Transport(redis.Transport):
    """kombu's Redis transport with channels of ours."""

    Channel = Channel
