"""Queues as data: a name, what it is for, and the kind of worker that serves it; and what a priority
means."""

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

# What every broker takes: RabbitMQ 255 bytes, SQS 80 characters behind a prefix of ours.
LONGEST_NAME: Final = 64
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_NAME - 1}}}")
# Names that Celery and kombu have for themselves, those that RabbitMQ refuses, and the endings of the bands
# that a queue has on quorum queues (`jobyard/settings/priority_bands.py`).
_TAKEN: Final = re.compile(r"celery|celeryev.*|.*celery\.pidbox|unacked(_index|_mutex)?|amq\..*")
_BAND: Final = re.compile(r".*\.(usual|urgent)")


class QueueKind(StrEnum):
    """What serves a queue."""

    THREADS = "threads"  # work that waits: many jobs at once in one process
    PREFORK = "prefork"  # work that computes: in child processes, which can be limited and killed


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue. Its name is the same in the ledger, in the broker and in URLs.

    Raises `SettingsError` for a name or a kind that cannot be.
    """

    name: str
    purpose: str = ""
    kind: QueueKind = QueueKind.THREADS

    def __post_init__(self) -> None:
        if complaint := wrong_name(self.name):
            raise SettingsError(complaint)
        if self.kind not in set(QueueKind):
            raise SettingsError(
                f"queue {self.name!r}: its kind is {' or '.join(QueueKind)}, not {self.kind!r}"
            )
        object.__setattr__(self, "kind", QueueKind(self.kind))


def wrong_name(name: str) -> str | None:
    """Return what is wrong with a queue's name, and None where nothing is."""
    shown = repr(name[: LONGEST_NAME + 1])
    if _TAKEN.fullmatch(name):
        return (
            f"a queue cannot be called {shown}, which Celery or the broker uses itself: choose another name"
        )
    if _BAND.fullmatch(name):
        return f"a queue cannot be called {shown}: on RabbitMQ .usual and .urgent are parts of a queue"
    if not _NAME.fullmatch(name):
        return (
            f"a queue cannot be called {shown}: write 1 to {LONGEST_NAME} of the characters a-z, A-Z, 0-9, "
            "'_', '-' and '.', a letter or a digit first"
        )
    return None


DEFAULT_QUEUE: Final = Queue("default", "housekeeping, and tasks that name no queue")


def by_name(queues: Iterable[Queue]) -> dict[str, Queue]:
    """Return queues by their names; raises `SettingsError` where two of one name differ."""
    found: dict[str, Queue] = {}
    for queue in queues:
        if found.setdefault(queue.name, queue) != queue:
            raise SettingsError(
                f"the queue {queue.name!r} is declared twice, and differently: keep one of them"
            )
    return found


def parse_queues(text: str) -> tuple[Queue, ...]:
    """Read `reports=threads, gpu=prefork`; a name alone is served by threads. Raises `SettingsError`."""
    parts = (part.strip() for part in text.split(",") if part.strip())
    queues = []
    for part in parts:
        name, _, kind = part.partition("=")
        queues.append(Queue(name.strip(), kind=QueueKind.THREADS if not kind else _kind(part, kind.strip())))
    return tuple(by_name(queues).values())


def _kind(part: str, kind: str) -> QueueKind:
    try:
        return QueueKind(kind)
    except ValueError:
        raise SettingsError(f"{part!r} has no kind: write NAME=threads or NAME=prefork") from None


def with_kinds_of(queues: Mapping[str, Queue], settled: Iterable[Queue]) -> dict[str, Queue]:
    """Return queues with those of `settled` added, whose kinds win and whose purposes only where given."""
    merged = dict(queues)
    for queue in settled:
        known = merged.get(queue.name)
        merged[queue.name] = Queue(queue.name, queue.purpose or (known.purpose if known else ""), queue.kind)
    return merged


def broker_priority(priority: int, broker_url: str) -> int:
    """Translate our priority (9 first) into the broker's own.

    kombu's Redis transport serves 0 first; RabbitMQ and the others serve the highest first.
    """
    first_is_zero = broker_kind(broker_url) in (BrokerKind.REDIS, BrokerKind.SENTINEL)
    return HIGHEST_PRIORITY - priority if first_is_zero else priority
