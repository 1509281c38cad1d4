"""The queues as the broker and Celery know them: those of the settings, and those that tasks declare."""

from collections.abc import Iterable
from typing import Any

from jobyard.broker.broker_options import kombu_queues
from jobyard.broker.celery_app import app
from jobyard.settings import get_settings
from jobyard.settings.priority_bands import broker_queues


def add_queues(names: Iterable[str]) -> None:
    """Add queues to Celery's, where they are missing, so that it can consume from them and send to them."""
    settings, known = get_settings(), app.amqp.queues
    for name in names:
        if any(broker_queue not in known for broker_queue in broker_queues(name, settings)):
            for queue in kombu_queues(name, settings):
                known.add(queue)


def kombu_queue(broker_queue: str, queue: str) -> Any:
    """Return a broker's queue that belongs to one of ours, which another process may have declared."""
    add_queues([queue])
    return app.amqp.queues[broker_queue]
