"""The broker that an installation moves away from: its waiting messages, and its workers."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from amqp.exceptions import NotFound
from celery import Celery
from kombu.exceptions import ChannelError

from jobyard.broker.celery_options import celery_options
from jobyard.settings import Settings
from jobyard.settings.priority_bands import RABBITMQ_PREFIX, Band, band_name
from jobyard.settings.sections import BrokerSettings
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

ANSWER_SECONDS: Final = 1.0
# Workers are pinged by a broadcast, which SQS does not have.
CANNOT_ASK_WORKERS: Final = (BrokerKind.SQS,)


def with_broker(settings: Settings, url: str) -> Settings:
    """Return the same settings with another broker URL; raises `ValidationError`."""
    broker = BrokerSettings.model_validate(settings.broker.model_dump() | {"url": url})
    return settings.model_copy(update={"broker": broker})


class OldBroker:
    """A broker besides the one of the settings; its methods raise what the broker's client raises."""

    def __init__(self, settings: Settings, queues: Collection[str]) -> None:
        self.settings, self._queues = settings, queues
        self._app = Celery("moving", set_as_current=False)
        self._app.conf.update(celery_options(settings))

    def depths(self) -> Mapping[str, int]:
        """Return how many messages wait in each of our queues."""
        return {queue: self._sum(queue, _depth) for queue in self._queues}

    def workers(self) -> list[str]:
        """Return the names of the workers that answer through this broker."""
        if broker_kind(self.settings.broker_url) in CANNOT_ASK_WORKERS:
            return []
        answers = self._app.control.ping(timeout=ANSWER_SECONDS) or []
        return sorted(name for answer in answers for name in answer)

    def purge(self) -> int:
        """Delete the messages in our queues, and no others; return how many there were."""
        return sum(self._sum(queue, _purge) for queue in self._queues)

    def close(self) -> None:
        self._app.close()

    def _sum(self, queue: str, action: Callable[[Any, str], int]) -> int:
        return sum(self._call(action, name) for name in self._broker_queues(queue))

    def _broker_queues(self, queue: str) -> list[str]:
        # The old broker's queue type may have been another one too.
        if broker_kind(self.settings.broker_url) is not BrokerKind.RABBITMQ:
            return [queue]
        return [f"{RABBITMQ_PREFIX}{queue}", *(band_name(queue, band) for band in Band)]

    def _call(self, action: Callable[[Any, str], int], broker_queue: str) -> int:
        # On RabbitMQ a request about a queue that does not exist closes the channel, so each request opens
        # its own.
        try:
            with self._app.connection_for_write() as connection:
                return action(connection.default_channel, broker_queue)
        except (ChannelError, NotFound):
            return 0


def _depth(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def _purge(channel: Any, queue: str) -> int:
    return int(channel.queue_purge(queue))
