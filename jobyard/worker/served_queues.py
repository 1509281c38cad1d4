"""Selects the queues that a worker serves: those named by `-Q`, or all declared, with both bands of each."""

from collections.abc import Iterable
from typing import Any

from celery.signals import celeryd_after_setup
from celery.worker.consumer import Consumer

from jobyard.broker.queues import add_queues
from jobyard.jobs.errors import QueueNotFoundError
from jobyard.settings import get_settings
from jobyard.settings.application import without_application
from jobyard.settings.priority_bands import Band, band_name, broker_queues, has_bands, queue_of
from jobyard.tasks.queues import declared_queues


@celeryd_after_setup.connect
def select_queues(instance: Any, **_: Any) -> None:
    """Consume from all declared queues unless `-Q` names some, and from the urgent band of each."""
    queues, settings = instance.app.amqp.queues, get_settings()
    if queues._consume_from is None:
        add_queues(declared_queues())
        names = (name for queue in declared_queues() for name in broker_queues(queue, settings))
    elif has_bands(settings):
        names = (band_name(queue, Band.URGENT) for queue in served_queues(queues.consume_from))
    else:
        return
    for name in list(names):
        queues.select_add(queues[name])


def check_queue_names(names: Iterable[str]) -> None:
    """Raise `QueueNotFoundError` for a queue that this process does not know."""
    known = declared_queues()
    for name in names:
        if queue_of(name, get_settings()) not in known:
            raise QueueNotFoundError(name, list(known), without_application())


def served_queues(consumed: Iterable[str]) -> list[str]:
    """Return the names of our queues for the broker's queues that a worker consumes from."""
    return sorted({queue_of(name, get_settings()) for name in consumed})


# Celery would declare 28 more queues for delayed delivery when it sees a quorum queue. Here a delayed job is
# a row in the ledger, and no message has an `eta`.
_blueprint: Any = Consumer.Blueprint
_blueprint.default_steps = [
    step for step in _blueprint.default_steps if not step.endswith(":DelayedDelivery")
]
