"""Keeps Flower informed of what workers serve: by itself it asks them once, when it starts."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flower.app import Flower

QUEUES = "active_queues"


def follow_workers() -> None:
    """Make Flower ask the workers again whenever it hears of one that it has not asked since it started."""
    start = Flower.start

    def start_following(flower: Any) -> None:
        flower.events.state.event_callback = partial(_ask_new_worker, flower)
        start(flower)

    Flower.start = start_following


def _ask_new_worker(flower: Any, _state: object, event: Mapping[str, Any]) -> None:
    kind, worker = event["type"], event["hostname"]
    if kind == "worker-online":  # it may serve other queues than before
        flower.workers[worker].pop(QUEUES, None)
    # A worker that has just started answers from its first heartbeat on.
    if kind in ("worker-online", "worker-heartbeat") and QUEUES not in flower.workers[worker]:
        flower.update_workers()
