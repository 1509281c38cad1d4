"""What a broker's queues of stock Celery messages must be able to do, and how a message is handed on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

# The most messages that are taken at once, and the bytes after which no further message is taken.
MOST_MESSAGES: Final = 100
MOST_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as its broker holds it; `handle` is what the source removes it by.

    `unreadable` says why an entry of a queue is no message at all; its other fields are empty then.
    """

    handle: Any
    queue: str = ""
    body: bytes = b""
    content_type: object = None
    content_encoding: object = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    priority: object = None
    unreadable: str | None = None


class Source(Protocol):
    """The queues of one broker; for one thread. Every method raises what the broker's client raises."""

    is_zero_first: bool
    """Whether this broker serves priority 0 first, and not the highest."""

    def take(self) -> Sequence[Delivery]:
        """Take some messages; they are delivered again unless they are removed."""

    def remove(self, deliveries: Sequence[Delivery]) -> None:
        """Remove messages whose jobs are committed."""

    def close(self) -> None:
        """Close the connection; the next `take` opens another, and delivers again what was not removed."""
