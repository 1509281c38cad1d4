"""A broker as a test sees it, whichever kind it is: killed, silenced, emptied and filled up in one way.

What one kind cannot do, and why, stands in `docs/brokers.md`; a test that needs it says so.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REDIS, RABBITMQ = "redis", "rabbitmq"

_rabbitmq = pytest.param(RABBITMQ, marks=pytest.mark.rabbitmq)
on_every_broker = pytest.mark.parametrize("broker_name", [REDIS, _rabbitmq])
on_rabbitmq = pytest.mark.parametrize("broker_name", [_rabbitmq])


def on_redis_alone(reason: str) -> pytest.MarkDecorator:
    """Run a test on Redis, and skip it on the others with the reason why they cannot have the fault."""
    skipped = [pytest.param(RABBITMQ, marks=pytest.mark.skip(reason=reason))]
    return pytest.mark.parametrize("broker_name", [REDIS, *skipped])


@dataclass(frozen=True)
class RawMessage:
    """A message as it travels: bytes, headers, and what a broker knows about it."""

    body: Any
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    content_type: Any = "application/json"
    content_encoding: Any = "utf-8"


class Broker(ABC):
    """A broker of one test's own."""

    name: str
    port: int
    # Bytes that stand in every request to publish, for a proxy that is to swallow the answer.
    mark_of_a_publish: bytes
    # Where it keeps what it remembers, and how a message of ours begins there.
    folder: Path
    opening_of_a_message: bytes

    @property
    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Return what a yard has to be told to use it."""

    @abstractmethod
    def url_by(self, port: int) -> str:
        """Return its URL by way of another port, which is a proxy's."""

    @property
    @abstractmethod
    def process_id(self) -> int | None:
        """Return the server's process, or None where it does not run."""

    @abstractmethod
    def start(self) -> None:
        """Start it, with what its disk remembers, and wait until it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it as an operator would."""

    @abstractmethod
    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Send its processes a signal: KILL ends it, STOP makes it silent, CONT makes it go on."""

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    @abstractmethod
    def close(self) -> None:
        """Leave nothing of the test behind, whatever state it is in."""

    @abstractmethod
    def forget_everything(self) -> None:
        """Lose every message and every queue."""

    @abstractmethod
    def reset_connections(self) -> None:
        """Cut every connection that anybody has to it."""

    @abstractmethod
    def fill_up(self) -> None:
        """Take no further message."""

    @abstractmethod
    def relieve(self) -> None:
        """Take messages again."""

    @abstractmethod
    def depth(self, queue: str = "default") -> int:
        """Return how many messages wait in a queue, for nobody yet."""

    @abstractmethod
    def names(self) -> set[str]:
        """Return what stands in it by name: keys of Redis, queues of the others."""

    @abstractmethod
    def peek(self, queue: str = "default") -> list[RawMessage]:
        """Return the messages that wait in a queue, the next one first, and leave them there."""

    @abstractmethod
    def push(self, message: RawMessage, queue: str = "default") -> None:
        """Put a message into a queue as it is."""

    @abstractmethod
    def push_bytes(self, content: bytes, queue: str = "default") -> None:
        """Put something into a queue that nobody would call a message."""

    @abstractmethod
    def has_a_waiting_consumer(self) -> bool:
        """Tell whether a worker waits for the next message, and would be given it."""
