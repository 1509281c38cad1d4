"""What sends messages to a broker: the interface, which `jobyard/broker/senders.py` finds an answer to."""

from collections.abc import Sequence
from typing import Final, Protocol

from jobyard.jobs.job import QueuedJob

# Messages that are written to the broker together.
MOST_IN_ONE_WRITE: Final = 100

Bundles = Sequence[Sequence[QueuedJob]]


class MessageSender(Protocol):
    """Takes messages to the broker; for one thread."""

    def send(self, bundles: Bundles) -> None:
        """Send a message for each bundle, and return when the broker has taken them.

        Raises what kombu, the client of the broker or the network raise; then any of them may have arrived.
        """
