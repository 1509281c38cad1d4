"""Sends with Celery and kombu only: works on every broker, emits Celery's signals, one message at a time."""

from typing import Any

from jobyard.broker.celery_app import app
from jobyard.broker.kill_limit import kill_after
from jobyard.broker.message_sender import MOST_IN_ONE_WRITE, Bundles
from jobyard.broker.message_template import args_repr
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
            untyped: Any = producer  # celery-types does not know `batch` yet
            with untyped.batch(MOST_IN_ONE_WRITE):
                for bundle in bundles:
                    first = bundle[0]
                    add_queues([first.queue])
                    app.send_task(
                        first.task,
                        args=[[job.id for job in bundle]],
                        argsrepr=args_repr(bundle),
                        kwargsrepr="",
                        task_id=first.id,
                        queue=broker_queue(first.queue, first.priority, self._settings),
                        priority=broker_priority(first.priority, self._settings.broker_url),
                        producer=producer,
                        retry=False,
                        time_limit=kill_after(first.time_limit),
                    )
