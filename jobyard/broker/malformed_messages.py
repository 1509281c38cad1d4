"""Malformed and foreign messages, on any broker.

An error that such a message causes in kombu or Celery would end the worker, and every later worker that
fetches the message. So these messages are counted, acknowledged and dropped. A job that such a message stood
for is still queued in the ledger, and is published again.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog
from kombu import compression
from kombu.exceptions import KombuError

from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault_and_commit

log = structlog.get_logger()

UNUSED_HEADERS: Final = ("eta", "expires", "group", "stamped_headers")
ACCEPTED_CONTENT_TYPES: Final = frozenset({"application/json"})


class MalformedMessageError(KombuError):
    """A message is not one that Jobyard sends."""


def guarded_callback(
    callback: Callable[[Any], Any],
    broker_faults: tuple[type[BaseException], ...],
    to_message: Callable[[Any], Any] = lambda message: message,
) -> Callable[[Any], Any]:
    """Return a consumer's callback that drops every message that `callback` fails on.

    Errors of `broker_faults` come from the broker, and are passed on. `to_message` turns what the transport
    delivers into a kombu message.
    """

    def deliver(delivered: Any) -> Any:
        message = to_message(delivered)
        try:
            _check(message)
            return callback(delivered)
        except broker_faults:
            raise
        except Exception as error:
            record_dropped(error)
            if not message.acknowledged:
                message.ack()
            return None

    return deliver


def refuse_compressed() -> None:
    """Make kombu neither unpack a message in this process, which has no bound, nor compress one."""
    for content_type in compression.encoders():
        compression.register(_refuse, _refuse, content_type)


def _refuse(_: bytes) -> bytes:
    raise MalformedMessageError("the message is compressed, and Jobyard compresses none")


def _check(message: Any) -> None:
    # Celery would run callbacks and chains without a claim, and publish them without the ledger. Malformed
    # time limits raise after a slot of the pool has been taken, and that slot is never given back.
    headers = message.headers
    if "task" not in headers:
        raise MalformedMessageError("the message names no task")
    message.accept = ACCEPTED_CONTENT_TYPES
    _, keywords, links = message.payload
    is_plain = (
        isinstance(headers["task"], str)
        and isinstance(headers["id"], str)
        and isinstance(headers.get("retries", 0), int)
        and _are_limits(headers.get("timelimit"))
        and not any(headers.get(name) for name in UNUSED_HEADERS)
    )
    if keywords or any(links.values()) or not is_plain:
        raise MalformedMessageError("a message of Jobyard holds a task and its jobs, and nothing else")


def _are_limits(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and len(value) == 2 and all(_is_limit(limit) for limit in value)


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and value > 0)


def record_dropped(error: Exception) -> None:
    """Count a message that no worker can use, and log the reason."""
    log.error("message dropped, no worker can use it", reason=f"{type(error).__name__}: {error}"[:300])
    count_fault_and_commit(get_ledger().database, FaultKind.BAD_MESSAGE)
