"""Celery's remote commands about queues, by our names: one of our queues may be two at the broker."""

from typing import Any

from celery.worker.control import control_command

from jobyard.broker.queues import add_queues
from jobyard.jobs.errors import JobyardError
from jobyard.settings import get_settings
from jobyard.settings.priority_bands import broker_queues
from jobyard.tasks.queues import check_queue


@control_command(args=[("queue", str)], signature="<queue>")
def add_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Tell worker(s) to start serving a queue."""
    if refusal := _refusal(queue):
        return refusal
    add_queues([queue])
    for name in broker_queues(queue, get_settings()):
        state.consumer.call_soon(state.consumer.add_task_queue, name)
    return {"ok": f"serving {queue}"}


@control_command(args=[("queue", str)], signature="<queue>")
def cancel_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Tell worker(s) to stop serving a queue."""
    if refusal := _refusal(queue):
        return refusal
    add_queues([queue])
    for name in broker_queues(queue, get_settings()):
        state.consumer.call_soon(state.consumer.cancel_task_queue, name)
    return {"ok": f"no longer serving {queue}"}


def _refusal(queue: str) -> dict[str, str] | None:
    # Celery would create an unknown queue at the broker, which would never get a job.
    try:
        check_queue(queue)
    except JobyardError as error:
        return {"error": str(error)}
    return None
