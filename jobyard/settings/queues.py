"""The queues, what each is for, and the one meaning of priority (0..9, 9 first)."""

from enum import StrEnum
from typing import Final

from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

LOWEST_PRIORITY: Final = 0
DEFAULT_PRIORITY: Final = 4
HIGHEST_PRIORITY: Final = 9
PRIORITIES: Final = range(LOWEST_PRIORITY, HIGHEST_PRIORITY + 1)


class Queue(StrEnum):
    """A queue's name, as it stands in the ledger, in the broker and in URLs."""

    DEFAULT = "default"
    EMAIL = "email"
    IMAGES = "images"
    COLLECT = "collect"


PURPOSES: Final[dict[Queue, str]] = {
    Queue.DEFAULT: "the yard's own upkeep, and tasks that name no queue",
    Queue.EMAIL: "mail: waits for a server, seldom computes",
    Queue.IMAGES: "pictures: computes, and may take a lot of memory",
    Queue.COLLECT: "pages from other people's servers: waits, sometimes long",
}

# Waiting work runs on threads, computing work in child processes that can be limited and killed.
WAITING: Final = (Queue.DEFAULT, Queue.EMAIL, Queue.COLLECT)
COMPUTING: Final = (Queue.IMAGES,)


def broker_priority(priority: int, broker_url: str) -> int:
    """Translate our priority (9 first) into the broker's own.

    kombu's Redis transport serves 0 first; RabbitMQ and the others serve the highest first.
    """
    first_is_zero = broker_kind(broker_url) in (BrokerKind.REDIS, BrokerKind.SENTINEL)
    return HIGHEST_PRIORITY - priority if first_is_zero else priority
