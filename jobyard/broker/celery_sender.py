"""Sends with Celery and kombu alone: on every broker, with Celery's signals, one message at a time."""

from typing import Any

from jobyard.broker.celery_app import app
from jobyard.broker.message_sender import MOST_IN_ONE_WRITE, Bundles
from jobyard.broker.message_template import shown
from jobyard.broker.queues import add_queues
from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue
from jobyard.settings.queues import broker_priority


class CelerySender:
    """A `MessageSender` for every broker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, bundles: Bundles) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            pool_member: Any = producer  # `batch` is newer than the stubs
            with pool_member.batch(MOST_IN_ONE_WRITE):
                for bundle in bundles:
                    first = bundle[0]
                    add_queues([first.queue])
                    app.send_task(
                        first.task,
                        args=[[job.id for job in bundle]],
                        argsrepr=shown(bundle),
                        kwargsrepr="",
                        task_id=first.id,
                        queue=broker_queue(first.queue, first.priority, self._settings),
                        priority=broker_priority(first.priority, self._settings.broker_url),
                        producer=producer,
                        retry=False,
                    )
