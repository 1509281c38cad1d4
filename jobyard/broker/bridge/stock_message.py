"""Reads a message of a stock Celery producer: protocol 2, in JSON. Nothing is unpickled or unpacked.

A message that names a task and an id is never dropped: where the rest of it cannot be used, `fault` says why,
and `as_payload` is the whole message as JSON, for a dead letter (`message_payload.py`).
"""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kombu.utils.json import loads

from jobyard.broker.bridge.message_payload import JSON_TYPES, fault_of_links, is_storable, message_as_payload
from jobyard.broker.bridge.source import Delivery
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.job import MOST_HEADER_BYTES
from jobyard.jobs.retry import LONGEST_DELAY

LONGEST_ID: Final = 255
LONGEST_TASK: Final = 200
# Tasks that Celery's own machinery sends: clean-up of a result backend, chords, chains and groups.
CELERYS_OWN: Final = "celery."
# The headers of protocol 2, without `root_id` and `parent_id`, which are kept beside those of the caller.
CELERYS_HEADERS: Final = frozenset(
    {
        *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit"),
        *("argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "compression"),
        *("stamped_headers", "stamps"),
    }
)
# Dates beyond these mean at once and never. A ledger that rounds one up to the year 10000, or holds one that
# does not exist in UTC, can no longer list its jobs.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
# A longer limit, in seconds, is none that anything here could wait for.
LONGEST_LIMIT: Final = LONGEST_DELAY.total_seconds()


class NoTaskMessageError(JobyardError):
    """A message names no task or no id, so it stands for no job."""


@dataclass(frozen=True, slots=True)
class StockMessage:
    """One call of a task by a stock producer; `args` and `kwargs` are empty where `fault` is set."""

    id: str
    task: str
    queue: str
    priority: int
    retries: int
    args: list[Any]
    kwargs: dict[str, Any]
    eta: datetime | None
    expires: datetime | None
    limits: tuple[float | None, float | None]
    fault: str | None
    delivery: Delivery

    @property
    def own_headers(self) -> str | None:
        """The headers that the caller gave, as JSON text, with the ids of the calls that led to this one.

        Only plain values are kept, as for other jobs, and none where they are too large together.
        """
        headers = {
            name: value
            for name, value in self.delivery.headers.items()
            if name not in CELERYS_HEADERS and _is_plain(name) and _is_plain(value)
        }
        if headers.get("root_id") == self.id:  # the call that led to this one is this one
            del headers["root_id"]
        if not headers:
            return None
        text = json.dumps(headers)
        return text if len(text.encode()) <= MOST_HEADER_BYTES else None

    @property
    def as_payload(self) -> str:
        """The message as JSON text; its body is base64 where it is not JSON that a ledger can hold."""
        return message_as_payload(self.delivery, self.queue, is_readable=True)

    @property
    def as_encoded_payload(self) -> str:
        """The message as JSON text with its body in base64."""
        return message_as_payload(self.delivery, self.queue, is_readable=False)


def read_message(delivery: Delivery) -> StockMessage:
    """Read a message; raises `NoTaskMessageError`."""
    if delivery.unreadable is not None:
        raise NoTaskMessageError(f"an entry of a queue is no message: {delivery.unreadable}")
    task, id_ = delivery.headers.get("task"), delivery.headers.get("id")
    if not (_is_name(task, LONGEST_TASK) and _is_name(id_, LONGEST_ID)):
        raise NoTaskMessageError(
            "a message without a task and an id in its headers: Celery's protocol 2 is read, "
            "task_protocol = 2 in the program that sends it"
        )
    parts = _Parts()
    try:
        fault = parts.read(delivery)
    except Exception as error:  # an unforeseen error must not hold up the next messages
        fault = f"it cannot be read: {type(error).__name__}: {error}"[:500]
    return StockMessage(
        id=str(id_),
        task=str(task),
        queue=delivery.queue,
        priority=_number(delivery.priority),
        retries=_number(delivery.headers.get("retries")),
        args=parts.args,
        kwargs=parts.kwargs,
        eta=parts.eta,
        expires=parts.expires,
        limits=_limits(delivery.headers.get("timelimit")),
        fault=fault,
        delivery=delivery,
    )


class _Parts:
    """What the body and the headers say, filled in as far as they can be read."""

    def __init__(self) -> None:
        self.args: list[Any] = []
        self.kwargs: dict[str, Any] = {}
        self.eta: datetime | None = None
        self.expires: datetime | None = None

    def read(self, delivery: Delivery) -> str | None:
        """Return what is wrong with the message, or None."""
        if fault := _fault_of_form(delivery):
            return fault
        try:
            args, kwargs, links = loads(delivery.body)
        except Exception as error:  # RecursionError among them
            return f"its body is not the JSON of Celery's protocol 2: {type(error).__name__}: {error}"[:500]
        if not (isinstance(args, list) and isinstance(kwargs, dict)):
            return "its body does not hold a list of arguments and a dictionary of keyword arguments"
        if fault := fault_of_links(links):
            return fault
        try:
            self.eta = _moment(delivery.headers.get("eta"))
            self.expires = _moment(delivery.headers.get("expires"))
        except (TypeError, ValueError, OverflowError) as error:  # some dates exist in their own zone only
            return f"its eta or its expires is no ISO 8601 date: {error}"[:500]
        self.args, self.kwargs = args, kwargs
        return None


def _fault_of_form(delivery: Delivery) -> str | None:
    task = delivery.headers["task"]
    if task.startswith(CELERYS_OWN):
        return f"{task} is a task of Celery's own, which has no meaning here"
    if delivery.content_type not in JSON_TYPES:
        return (
            f"its body is {str(delivery.content_type)[:100]!r}, which is never read (pickle and YAML can run "
            "code): set task_serializer = 'json' in the program that sends it"
        )
    if delivery.headers.get("compression"):
        return "it is compressed: leave task_compression unset in the program that sends it"
    return None


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100}")
    moment = datetime.fromisoformat(value)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return min(max(moment, EARLIEST), LATEST)


def _limits(value: object) -> tuple[float | None, float | None]:
    # The hard and the soft limit, in seconds.
    if not (isinstance(value, list) and len(value) == 2):
        return None, None
    hard, soft = (
        float(min(limit, LONGEST_LIMIT)) if isinstance(limit, (int, float)) and limit > 0 else None
        for limit in value
    )
    return (None if hard and soft and soft >= hard else hard), soft


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and is_storable(json.dumps(value)))


def _is_name(value: object, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
