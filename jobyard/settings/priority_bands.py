"""Where a message goes by its priority: a quorum queue knows none, so there are two for each of the yard's.

What is urgent is consumed beside what is not, and so does not wait until that is done. On other brokers a
queue of the yard is one queue of the broker, whose own priorities do better.
"""

from enum import StrEnum
from typing import Final

from jobyard.settings import Settings
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

# As RabbitMQ 4 itself divides the priorities of quorum queues.
FIRST_URGENT_PRIORITY: Final = 5


class Band(StrEnum):
    """A part of the priorities."""

    USUAL = "usual"
    URGENT = "urgent"


def has_bands(settings: Settings) -> bool:
    """Tell whether each queue of the yard is two of the broker's."""
    return broker_kind(settings.broker_url) is BrokerKind.RABBITMQ and settings.broker.queue_type == "quorum"


def band_name(queue: str, band: Band) -> str:
    """Return the name that a band of a queue has in the broker."""
    return f"{queue}.{band}"


def broker_queue(queue: str, priority: int, settings: Settings) -> str:
    """Return the broker's queue that a job's message goes to."""
    if not has_bands(settings):
        return queue
    return band_name(queue, Band.URGENT if priority >= FIRST_URGENT_PRIORITY else Band.USUAL)


def broker_queues(queue: str, settings: Settings) -> list[str]:
    """Return all the broker's queues that one of the yard's is made of."""
    return [band_name(queue, band) for band in Band] if has_bands(settings) else [queue]


def queue_of(broker_queue: str, settings: Settings) -> str:
    """Return the queue of ours that one of the broker's queues is, or is a band of."""
    if has_bands(settings):
        for band in Band:
            broker_queue = broker_queue.removesuffix(f".{band}")
    return broker_queue
