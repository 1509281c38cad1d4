"""Queues as data: a name, a purpose, and the kind of worker that serves it; and the priorities."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jobyard.settings.errors import SettingsError
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

LOWEST_PRIORITY: Final = 0
DEFAULT_PRIORITY: Final = 4
HIGHEST_PRIORITY: Final = 9
PRIORITIES: Final = range(LOWEST_PRIORITY, HIGHEST_PRIORITY + 1)

# The longest name that every broker takes: RabbitMQ 255 bytes, SQS 80 characters with our prefix.
LONGEST_NAME: Final = 64
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_NAME - 1}}}")
# Names that Celery and kombu use themselves, names that RabbitMQ refuses, and the suffixes of the bands on
# quorum queues (`jobyard/settings/priority_bands.py`).
_RESERVED: Final = re.compile(r"celery|celeryev.*|.*celery\.pidbox|unacked(_index|_mutex)?|amq\..*")
_BAND: Final = re.compile(r".*\.(usual|urgent)")
_PREFIXED: Final = re.compile(r"jobyard\..*")


class QueueKind(StrEnum):
    """The kind of worker that serves a queue."""

    THREADS = "threads"  # for work that waits: many jobs at once in one process
    PREFORK = "prefork"  # for work that computes: in child processes, which can be limited and killed


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue, with the same name in the ledger, in the broker and in URLs.

    Raises `SettingsError` for a wrong name or kind.
    """

    name: str
    purpose: str = ""
    kind: QueueKind = QueueKind.THREADS

    def __post_init__(self) -> None:
        if fault := name_fault(self.name):
            raise SettingsError(fault)
        if self.kind not in set(QueueKind):
            raise SettingsError(
                f"queue {self.name!r}: its kind is {' or '.join(QueueKind)}, not {self.kind!r}"
            )
        object.__setattr__(self, "kind", QueueKind(self.kind))


def name_fault(name: str) -> str | None:
    """Return what is wrong with a queue's name, or None."""
    quoted = repr(name[: LONGEST_NAME + 1])
    if _RESERVED.fullmatch(name):
        return (
            f"a queue cannot be called {quoted}, which Celery or the broker uses itself: choose another name"
        )
    if _BAND.fullmatch(name):
        return f"a queue cannot be called {quoted}: on RabbitMQ .usual and .urgent are parts of a queue"
    if _PREFIXED.fullmatch(name):
        return (
            f"a queue cannot be called {quoted}: on RabbitMQ jobyard. stands before the name of every queue"
        )
    if not _NAME.fullmatch(name):
        return (
            f"a queue cannot be called {quoted}: write 1 to {LONGEST_NAME} of the characters a-z, A-Z, 0-9, "
            "'_', '-' and '.', a letter or a digit first"
        )
    return None


DEFAULT_QUEUE: Final = Queue("default", "housekeeping, and tasks that name no queue")
_DEFAULT_IN_CELERY: Final = "celery"


def our_queue_name(name: str) -> str:
    """Return the queue that a name in Celery code means: `celery` is what Celery calls the default queue."""
    return DEFAULT_QUEUE.name if name == _DEFAULT_IN_CELERY else name


def queues_by_name(queues: Iterable[Queue]) -> dict[str, Queue]:
    """Return queues by name; raises `SettingsError` if two queues of one name differ."""
    known: dict[str, Queue] = {}
    for queue in queues:
        if known.setdefault(queue.name, queue) != queue:
            raise SettingsError(
                f"the queue {queue.name!r} is declared twice, and differently: keep one of the two"
            )
    return known


def parse_queues(text: str) -> tuple[Queue, ...]:
    """Read `reports=threads, gpu=prefork`; a name alone is served by threads. Raises `SettingsError`."""
    parts = (part.strip() for part in text.split(",") if part.strip())
    queues = []
    for part in parts:
        name, _, kind = part.partition("=")
        queues.append(Queue(name.strip(), kind=QueueKind.THREADS if not kind else _kind(part, kind.strip())))
    return tuple(queues_by_name(queues).values())


def _kind(part: str, kind: str) -> QueueKind:
    try:
        return QueueKind(kind)
    except ValueError:
        raise SettingsError(f"{part!r} names no kind: write NAME=threads or NAME=prefork") from None


def merge_queues(queues: Mapping[str, Queue], overriding: Iterable[Queue]) -> dict[str, Queue]:
    """Return the queues and the overriding ones, whose kinds win, and whose purposes win if not empty."""
    merged = dict(queues)
    for queue in overriding:
        known = merged.get(queue.name)
        merged[queue.name] = Queue(queue.name, queue.purpose or (known.purpose if known else ""), queue.kind)
    return merged


def broker_priority(priority: int, broker_url: str) -> int:
    """Translate our priority (9 first) into the broker's own.

    kombu's Redis transport serves 0 first; RabbitMQ and the others serve the highest first.
    """
    is_zero_first = broker_kind(broker_url) in (BrokerKind.REDIS, BrokerKind.SENTINEL)
    return HIGHEST_PRIORITY - priority if is_zero_first else priority
