"""Which queues a worker serves: those that `-Q` names, or all that are declared; and both bands of each."""

from collections.abc import Iterable
from typing import Any

from celery.signals import celeryd_after_setup
from celery.worker.consumer import Consumer

from jobyard.broker.queues import add_queues
from jobyard.settings import get_settings
from jobyard.settings.priority_bands import Band, band_name, broker_queues, has_bands, queue_of
from jobyard.tasks.queues import declared_queues


@celeryd_after_setup.connect
def select_queues(instance: Any, **_: Any) -> None:
    """Consume from every declared queue where `-Q` names none, and from the urgent band of each that is
    served."""
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


def served_queues(consumed: Iterable[str]) -> list[str]:
    """Return our queues of which the broker's queues, which a worker consumes from, are made."""
    return sorted({queue_of(name, get_settings()) for name in consumed})


# Celery would set up 28 more queues for delayed deliveries where it sees a quorum queue. What is to run
# later is a row in the ledger here, and no message ever says `eta`.
_blueprint: Any = Consumer.Blueprint
_blueprint.default_steps = [
    step for step in _blueprint.default_steps if not step.endswith(":DelayedDelivery")
]
