"""Selects the queues that a worker serves: those named by `-Q`, or all declared, with both bands of each."""

from collections.abc import Iterable
from typing import Any

from celery.signals import celeryd_after_setup
from celery.worker.consumer import Consumer

from jobyard.broker.celery_app import app
from jobyard.broker.queues import add_queues
from jobyard.jobs.errors import QueueNotFoundError
from jobyard.settings import get_settings
from jobyard.settings.application import without_application
from jobyard.settings.priority_bands import broker_queues, queue_of
from jobyard.settings.queues import our_queue_name
from jobyard.tasks.queues import declared_queues


@celeryd_after_setup.connect
def select_queues(instance: Any, **_: Any) -> None:
    """Consume from all declared queues unless `-Q` names some, and from both bands of each."""
    queues, settings = instance.app.amqp.queues, get_settings()
    if queues._consume_from is None:
        add_queues(declared_queues())
        served = list(declared_queues())
    else:
        served = served_queues(queues.consume_from)
    # By the broker's names, under which a queue can be left again.
    queues.select([name for queue in served for name in broker_queues(queue, settings)])


def check_queue_names(names: Iterable[str]) -> None:
    """Raise `QueueNotFoundError` for a queue that this process does not know."""
    known = declared_queues()
    for name in map(our_queue_name, names):
        if queue_of(name, get_settings()) not in known:
            raise QueueNotFoundError(name, list(known), without_application())


def name_as_in_celery() -> None:
    """Let `-Q celery` name the default queue, as it does in Celery."""
    queues: Any = app.amqp.queues
    queues.aliases.setdefault("celery", queues[our_queue_name("celery")])


def served_queues(consumed: Iterable[str]) -> list[str]:
    """Return the names of our queues for the broker's queues that a worker consumes from."""
    return sorted({queue_of(name, get_settings()) for name in consumed})


# Celery would declare 28 more queues for delayed delivery when it sees a quorum queue. Here a delayed job is
# a row in the ledger, and no message has an `eta`.
_blueprint: Any = Consumer.Blueprint
_blueprint.default_steps = [
    step for step in _blueprint.default_steps if not step.endswith(":DelayedDelivery")
]
