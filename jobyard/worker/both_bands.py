"""A worker that serves a queue serves both of its bands, where the broker has bands."""

from typing import Any

from celery.signals import celeryd_after_setup
from celery.worker.consumer import Consumer

from jobyard.settings.priority_bands import Band, band_name, has_bands
from jobyard.settings.queues import Queue
from jobyard.settings.settings import get_settings


@celeryd_after_setup.connect
def consume_the_urgent_bands_too(instance: Any, **_: Any) -> None:
    """Add the urgent band of each queue that `celery worker -Q` names."""
    if not has_bands(get_settings()):
        return
    queues = instance.app.amqp.queues
    for name in served_queues(queues.consume_from):
        queues.select_add(queues[band_name(name, Band.URGENT)])


def served_queues(consumed: dict[str, Any]) -> list[Queue]:
    """Return the queues of the yard among the broker's queues that a worker consumes from."""
    return [name for name in Queue if name in consumed or band_name(name, Band.USUAL) in consumed]


# Celery would set up 28 more queues for delayed deliveries where it sees a quorum queue. What is to run
# later is a row in the ledger here, and no message ever says `eta`.
_blueprint: Any = Consumer.Blueprint
_blueprint.default_steps = [
    step for step in _blueprint.default_steps if not step.endswith(":DelayedDelivery")
]
