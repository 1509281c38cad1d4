"""Bands of priorities: a quorum queue has no priorities, so each of our queues is two quorum queues.

Workers consume the urgent and the usual band side by side, so urgent jobs do not wait for the usual ones. On
other brokers each of our queues is one queue of the broker, whose own priorities are finer.
"""

from enum import StrEnum
from typing import Final

from jobyard.settings import Settings
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

# RabbitMQ 4 divides the priorities of quorum queues at the same number.
FIRST_URGENT_PRIORITY: Final = 5


class Band(StrEnum):
    """A range of priorities."""

    USUAL = "usual"
    URGENT = "urgent"


def has_bands(settings: Settings) -> bool:
    """Tell whether each of our queues is two queues of the broker."""
    return broker_kind(settings.broker_url) is BrokerKind.RABBITMQ and settings.broker.queue_type == "quorum"


def delivers_most_urgent_first(settings: Settings) -> bool:
    """Tell whether the broker delivers the messages of a queue by priority, and not by age alone."""
    return broker_kind(settings.broker_url) is not BrokerKind.SQS and not has_bands(settings)


def band_name(queue: str, band: Band) -> str:
    """Return the broker's name for a band of a queue."""
    return f"{queue}.{band}"


def broker_queue(queue: str, priority: int, settings: Settings) -> str:
    """Return the broker's queue for a job's message."""
    if not has_bands(settings):
        return queue
    return band_name(queue, Band.URGENT if priority >= FIRST_URGENT_PRIORITY else Band.USUAL)


def broker_queues(queue: str, settings: Settings) -> list[str]:
    """Return all the broker's queues that belong to one of ours."""
    return [band_name(queue, band) for band in Band] if has_bands(settings) else [queue]


def queue_of(broker_queue: str, settings: Settings) -> str:
    """Return our queue to which a queue of the broker belongs."""
    if has_bands(settings):
        for band in Band:
            broker_queue = broker_queue.removesuffix(f".{band}")
    return broker_queue
