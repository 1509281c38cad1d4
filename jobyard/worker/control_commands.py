"""Orders about queues, by the yard's names: a queue of the yard may be two of the broker's."""

from typing import Any

from celery.worker.control import control_command

from jobyard.settings.priority_bands import broker_queues
from jobyard.settings.queues import Queue
from jobyard.settings.settings import get_settings


@control_command(args=[("queue", str)], signature="<queue>")
def add_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Tell worker(s) to serve a queue."""
    if queue not in set(Queue):
        return _no_such(queue)
    for name in broker_queues(queue, get_settings()):
        state.consumer.call_soon(state.consumer.add_task_queue, name)
    return {"ok": f"serving {queue}"}


@control_command(args=[("queue", str)], signature="<queue>")
def cancel_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Tell worker(s) to leave a queue to others."""
    if queue not in set(Queue):
        return _no_such(queue)
    for name in broker_queues(queue, get_settings()):
        state.consumer.call_soon(state.consumer.cancel_task_queue, name)
    return {"ok": f"no longer serving {queue}"}


def _no_such(queue: str) -> dict[str, str]:
    # Celery would make one, which no job ever comes to.
    return {"error": f"there is no queue {queue!r}: {', '.join(Queue)}"}
