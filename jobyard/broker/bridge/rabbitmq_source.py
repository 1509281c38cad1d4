"""Stock Celery's queues on RabbitMQ: gets messages and acknowledges them once their jobs are committed.

Nothing is declared, because the producers' queues have arguments of their own: a queue that does not exist
holds no message. Every queue has a channel of its own, which RabbitMQ closes where the queue is missing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from amqp.exceptions import NotFound

from jobyard.broker.bridge.source import MOST_BYTES, MOST_MESSAGES, Delivery


class RabbitMQSource:
    """Some queues of a virtual host; `connect` returns a kombu connection."""

    is_zero_first = False

    def __init__(self, connect: Callable[[], Any], queues: Sequence[str]) -> None:
        self._connect, self._queues = connect, queues
        self._connection: Any = None
        self._channels: dict[str, Any] = {}

    def take(self) -> Sequence[Delivery]:
        self._connection = self._connection or self._connect()
        taken: list[Delivery] = []
        size = 0
        for queue in self._queues:
            for message in self._messages(queue):
                taken.append(_delivery(queue, message))
                size += len(taken[-1].body)
                if len(taken) >= MOST_MESSAGES or size >= MOST_BYTES:
                    return taken
        return taken

    def _messages(self, queue: str) -> Iterator[Any]:
        if queue not in self._channels:
            self._channels[queue] = self._connection.channel()
        channel = self._channels[queue]
        try:
            while (message := channel.basic_get(queue, no_ack=False)) is not None:
                yield channel.message_to_python(message)
        except NotFound:
            del self._channels[queue]

    def remove(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delivery.handle.ack()

    def close(self) -> None:
        connection, self._connection, self._channels = self._connection, None, {}
        if connection is not None:
            connection.collect()


def _delivery(queue: str, message: Any) -> Delivery:
    body = message.body
    return Delivery(
        handle=message,
        queue=queue,
        body=body.encode() if isinstance(body, str) else bytes(body or b""),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=dict(message.headers or {}),
        priority=message.properties.get("priority"),
    )
