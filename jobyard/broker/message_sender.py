"""The interface of the senders; `jobyard/broker/senders.py` chooses the one for the broker."""

from collections.abc import Sequence
from typing import Final, Protocol

from jobyard.jobs.job import QueuedJob

# The most messages that are written to the broker at once.
MOST_IN_ONE_WRITE: Final = 100

Bundles = Sequence[Sequence[QueuedJob]]


class MessageSender(Protocol):
    """Sends messages to the broker; for one thread."""

    def send(self, bundles: Bundles) -> None:
        """Send a message for each bundle, and return when the broker has accepted them.

        Raises what kombu, the broker's client or the network raise; any of the messages may have arrived
        then.
        """
