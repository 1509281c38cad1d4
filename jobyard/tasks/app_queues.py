"""Celery's `task_queues` as queues of Jobyard's: the names stay, and exchanges are no part of them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kombu import Queue as KombuQueue
from kombu.common import Broadcast

from jobyard.settings import SettingsError
from jobyard.settings.celery_keys import ONE_QUEUE
from jobyard.settings.queues import Queue, our_queue_name

# With these an exchange gives a message to the one queue that the sender names.
_DIRECT: Final = ("", "direct", None)


def queues_of(task_queues: Any) -> list[Queue]:
    """Return the queues of a list of kombu's, of names, or of a mapping by name; raises `SettingsError`."""
    return [_queue(name, given) for name, given in _named(task_queues)]


def _named(task_queues: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(task_queues, Mapping):
        yield from task_queues.items()
        return
    if isinstance(task_queues, str):
        raise SettingsError(f"task_queues is the text {task_queues!r}: write a list, [{task_queues!r}]")
    try:
        queues = list(task_queues or ())
    except TypeError:
        raise SettingsError(f"task_queues is {task_queues!r:.100}: write a list of queues") from None
    for queue in queues:
        if not isinstance(queue, str | KombuQueue | Queue):
            raise SettingsError(f"task_queues holds {queue!r:.100}: write kombu's Queue(...), or a name")
        yield (queue if isinstance(queue, str) else queue.name), queue


def _queue(name: str, given: Any) -> Queue:
    if isinstance(given, Queue):
        return given
    if isinstance(given, Broadcast) or _exchange_type(given) not in _DIRECT or _has_bindings(given):
        raise SettingsError(f"task_queues: {name!r} is bound to an exchange: {ONE_QUEUE}")
    try:
        return Queue(our_queue_name(name))
    except SettingsError as error:
        raise SettingsError(f"task_queues: {error}") from error


def _exchange_type(given: Any) -> Any:
    if isinstance(given, Mapping):
        return given.get("exchange_type", getattr(given.get("exchange"), "type", None))
    return getattr(getattr(given, "exchange", None), "type", None)


def _has_bindings(given: Any) -> bool:
    return bool(given.get("bindings") if isinstance(given, Mapping) else getattr(given, "bindings", None))
