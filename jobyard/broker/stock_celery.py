"""Calls tasks of stock Celery workers, and reads their answers from the result backend that they have."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery, states
from celery.exceptions import TaskError
from kombu import Exchange, Queue
from kombu.exceptions import ContentDisallowed, DecodeError

from jobyard.broker.broker_options import broker_options
from jobyard.broker.old_broker import with_broker
from jobyard.settings import Settings, get_settings
from jobyard.settings.locked_cache import locked_cache

# kombu's own options for Redis, in the place of ours: so the stock workers find the message.
_REDIS_OPTIONS: Final = {"global_keyprefix": "", "sep": "\x06\x16", "priority_steps": [0, 3, 6, 9]}

# What reading an answer raises, and a client that has no connection does not.
_UNREADABLE: Final = (DecodeError, TypeError, ValueError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a task of a stock worker ended: with a result or a failure.

    The failure is its exception's module and class, its message, and its traceback.
    """

    result: Any = None
    failure: tuple[str, str, str, str | None] | None = None


class StockCelery:
    """An application with the broker and the result backend of stock workers.

    Every method raises what the broker's or the backend's client raises.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = Celery(
            "external", backend=settings.celery.result_backend, set_as_current=False, fixups=[]
        )
        options = broker_options(with_broker(settings, settings.celery_broker_url))
        for own in ("task_queues", "task_default_queue", "task_create_missing_queues"):
            del options[own]
        transport_options = options["broker_transport_options"]
        transport_options |= {
            name: value for name, value in _REDIS_OPTIONS.items() if name in transport_options
        }
        # RabbitMQ says whether it has the message, and a queue for it.
        transport_options["confirm_publish"] = True
        self._app.conf.update(options, task_serializer="json", result_accept_content=["json"])

    def send(
        self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, task_id: str, queue: str
    ) -> None:
        """Send a call to a queue of the stock workers, which has to exist on RabbitMQ."""
        # With its name alone Celery would declare the queue, with other arguments than its owner's.
        untyped: Any = Queue(queue, Exchange("", type="direct"), routing_key=queue)
        self._app.send_task(
            task,
            args=list(args),
            kwargs=dict(kwargs),
            task_id=task_id,
            queue=untyped,
            declare=[],
            mandatory=True,
            retry=False,
        )

    def answer(self, task_id: str) -> Answer | None:
        """Return how a call ended, or None while it has not.

        An answer that cannot be read is a failure of its job, and holds up no other job's answer.
        """
        try:
            return _answer_in(self._app.backend.get_task_meta(task_id, cache=False))
        except ContentDisallowed as error:
            return _unreadable(error, f"its result is not JSON, and nothing is unpickled: {error}")
        except _UNREADABLE as error:
            return _unreadable(error, f"its answer in the result backend cannot be read: {error!r:.500}")

    def forget(self, task_id: str) -> None:
        """Remove the answer of an earlier call with the same id."""
        self._app.backend.forget(task_id)


def _answer_in(meta: Mapping[str, Any]) -> Answer | None:
    if meta["status"] not in states.READY_STATES:
        return None
    if meta["status"] == states.SUCCESS:
        return Answer(result=meta["result"])
    raised = meta["result"]
    kind = type(raised) if isinstance(raised, BaseException) else TaskError
    return Answer(failure=(kind.__module__, kind.__name__, str(raised), meta.get("traceback")))


def _unreadable(error: Exception, words: str) -> Answer:
    return Answer(failure=(type(error).__module__, type(error).__name__, words, None))


@locked_cache
def get_stock_celery() -> StockCelery:
    """Return this process's application for stock workers."""
    return StockCelery(get_settings())


# A forked child has connections of its own.
os.register_at_fork(after_in_child=get_stock_celery.cache_clear)
