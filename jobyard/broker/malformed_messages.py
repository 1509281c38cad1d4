"""Messages that are none, or that say what no message of ours does, whichever broker brings them.

Whatever they set off in kombu or Celery ends the worker there, and every worker after it that fetches
them. So they are counted, acknowledged and dropped. The job that one may have stood for is still queued in
the ledger, and is published again.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog
from kombu.exceptions import KombuError

from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.fault_counters import Tally, count_alone

log = structlog.get_logger()

NEVER_SAID: Final = ("eta", "expires", "group", "stamped_headers")
ACCEPTED: Final = frozenset({"application/json"})


class StrangeMessageError(KombuError):
    """A message asks for what the yard's messages never ask for."""


def guarded(
    callback: Callable[[Any], Any],
    broker_faults: tuple[type[BaseException], ...],
    to_message: Callable[[Any], Any] = lambda message: message,
) -> Callable[[Any], Any]:
    """Return a consumer's callback that no message can break.

    `broker_faults` are about the broker, and are raised on. `to_message` makes a kombu message of what the
    transport hands over.
    """

    def deliver(delivered: Any) -> Any:
        message = to_message(delivered)
        try:
            _check(message)
            return callback(delivered)
        except broker_faults:
            raise
        except Exception as error:
            drop(error)
            if not message.acknowledged:
                message.ack()
            return None

    return deliver


def _check(message: Any) -> None:
    # Callbacks and chains of stock Celery would be called without a claim, and publish past the ledger.
    # Limits that are none fail when a slot of the pool is taken already, which is never given back.
    headers = message.headers
    if "task" not in headers:
        raise StrangeMessageError("it names no task")
    message.accept = ACCEPTED
    _, keywords, links = message.payload
    is_plain = (
        isinstance(headers["task"], str)
        and isinstance(headers["id"], str)
        and isinstance(headers.get("retries", 0), int)
        and _are_limits(headers.get("timelimit"))
        and not any(headers.get(name) for name in NEVER_SAID)
    )
    if keywords or any(links.values()) or not is_plain:
        raise StrangeMessageError("a message of the yard names a task and its jobs, and asks for no more")


def _are_limits(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and len(value) == 2 and all(_is_limit(limit) for limit in value)


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and value > 0)


def drop(error: Exception) -> None:
    """Count a message that no worker can use, and say why."""
    log.error("message dropped, no worker can use it", reason=f"{type(error).__name__}: {error}"[:300])
    count_alone(get_ledger().database, Tally.BAD_MESSAGE)
