"""Sends with kombu only: works on every broker, one message at a time."""

from collections.abc import Sequence
from typing import Any

from jobyard.broker.celery_app import app
from jobyard.broker.kill_limit import kill_after
from jobyard.broker.message_sender import MOST_IN_ONE_WRITE, Bundles
from jobyard.broker.message_template import args_repr, celery_message
from jobyard.broker.queues import add_queues
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue
from jobyard.settings.queues import broker_priority


class CelerySender:
    """A `MessageSender` for every broker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, bundles: Bundles) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            untyped: Any = producer  # celery-types does not know `batch` yet
            with untyped.batch(MOST_IN_ONE_WRITE):
                for bundle in bundles:
                    self._send(untyped, bundle)

    def _send(self, producer: Any, bundle: Sequence[QueuedJob]) -> None:
        first = bundle[0]
        add_queues([first.queue])
        queue = broker_queue(first.queue, first.priority, self._settings)
        headers, properties, body = celery_message(
            first.task, [job.id for job in bundle], first.id, args_repr(bundle), kill_after(first.time_limit)
        )
        producer.publish(
            body,
            exchange="",
            routing_key=queue,
            serializer="json",
            declare=[app.amqp.queues[queue]],
            headers=headers,
            priority=broker_priority(first.priority, self._settings.broker_url),
            retry=False,
            **properties,
        )
