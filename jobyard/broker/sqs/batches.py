"""Sends messages to SQS, up to ten in one request, as kombu's `Producer.batch` collects them."""

from collections import defaultdict
from typing import Any, Final

from kombu.exceptions import OperationalError

MESSAGES_IN_A_REQUEST: Final = 10
# SQS refuses a request of more than 256 KiB (1 MiB since 2025); the message of a full bundle has 12 KiB.
BYTES_IN_A_REQUEST: Final = 200 * 1024


class PublishBatch:
    """Messages that a channel is to send; one message that cannot be sent fails the whole batch."""

    def __init__(self, channel: Any, max_size: int) -> None:
        self.channel = channel
        self._max_size = max_size
        self._waiting: dict[str, list[str]] = defaultdict(list)

    def publish(self, message: Any, **options: Any) -> None:
        """Let the channel find the queue; the channel then calls `add`."""
        self.channel.basic_publish(message, batch=self, **options)
        if sum(map(len, self._waiting.values())) >= self._max_size:
            self.flush()

    def add(self, queue: str, body: str) -> None:
        """Add a message for a queue."""
        self._waiting[queue].append(body)

    def flush(self) -> None:
        """Send all messages; raises `OperationalError` if SQS did not take one of them."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        for queue, bodies in waiting.items():
            for request_bodies in _split_into_requests(bodies):
                self._send(queue, request_bodies)

    def _send(self, queue: str, bodies: list[str]) -> None:
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        client = self.channel.sqs()
        answer = self.channel.with_queue(
            queue, lambda url: client.send_message_batch(QueueUrl=url, Entries=entries)
        )
        for refused in answer.get("Failed", ()):
            raise OperationalError(f"SQS did not take a message: {refused['Code']} {refused.get('Message')}")

    def discard(self) -> None:
        """Forget the messages that were not sent."""
        self._waiting.clear()

    def close(self) -> None:
        """Do nothing: a batch holds no resources."""


def _split_into_requests(bodies: list[str]) -> list[list[str]]:
    requests: list[list[str]] = []
    size = 0
    for body in bodies:
        if (
            not requests
            or len(requests[-1]) == MESSAGES_IN_A_REQUEST
            or size + len(body) > BYTES_IN_A_REQUEST
        ):
            requests.append([])
            size = 0
        requests[-1].append(body)
        size += len(body)
    return requests
