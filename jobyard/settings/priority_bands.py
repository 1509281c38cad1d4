"""The broker's names for our queues, and bands of priorities: on quorum queues each of ours is two.

On RabbitMQ our queues have a prefix, which keeps them apart from stock Celery's in the same virtual host; on
Redis the prefix of all keys does that, and on SQS that of its URL. A quorum queue has no priorities.
Workers consume the urgent and the usual band side by side, so urgent jobs do not wait for the usual ones. On
other brokers each of our queues is one queue of the broker, whose own priorities are finer.
"""

from enum import StrEnum
from typing import Final

from jobyard.settings import Settings
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

# RabbitMQ 4 divides the priorities of quorum queues at the same number.
FIRST_URGENT_PRIORITY: Final = 5
RABBITMQ_PREFIX: Final = "jobyard."


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
    """Return RabbitMQ's name for a band of a queue."""
    return f"{RABBITMQ_PREFIX}{queue}.{band}"


def _whole_name(queue: str, settings: Settings) -> str:
    is_rabbitmq = broker_kind(settings.broker_url) is BrokerKind.RABBITMQ
    return f"{RABBITMQ_PREFIX}{queue}" if is_rabbitmq else queue


def broker_queue(queue: str, priority: int, settings: Settings) -> str:
    """Return the broker's queue for a job's message."""
    if not has_bands(settings):
        return _whole_name(queue, settings)
    return band_name(queue, Band.URGENT if priority >= FIRST_URGENT_PRIORITY else Band.USUAL)


def broker_queues(queue: str, settings: Settings) -> list[str]:
    """Return all the broker's queues that belong to one of ours."""
    return (
        [band_name(queue, band) for band in Band] if has_bands(settings) else [_whole_name(queue, settings)]
    )


def queue_of(broker_queue: str, settings: Settings) -> str:
    """Return our queue to which a queue of the broker belongs; one of ours is itself."""
    if broker_kind(settings.broker_url) is BrokerKind.RABBITMQ:
        broker_queue = broker_queue.removeprefix(RABBITMQ_PREFIX)
    if has_bands(settings):
        for band in Band:
            broker_queue = broker_queue.removesuffix(f".{band}")
    return broker_queue
