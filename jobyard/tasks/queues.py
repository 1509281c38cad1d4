"""The known queues: those of the application, of `JOBYARD_QUEUES`, and of the loaded tasks."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Final

from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import QueueNotFoundError, TaskDeclarationError
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.declared_queues import declare_queues, known_queues
from jobyard.settings import SettingsError, get_settings
from jobyard.settings.application import get_application
from jobyard.settings.locked_cache import locked_cache
from jobyard.settings.queues import DEFAULT_QUEUE, Queue, merge_queues, queues_by_name

# How long a process trusts the ledger's entry for a queue that only another process has declared.
LEDGER_ENTRY_SECONDS: Final = 60.0

# The similarity, from 0 to 1, from which a name counts as misspelt: two letters of five may be swapped.
NEARLY_EQUAL: Final = 0.8

_declared_by_tasks: dict[str, tuple[Queue, str]] = {}
_named_by_tasks: dict[str, str] = {}


@locked_cache
def _trusted_until() -> dict[str, float]:
    """Return until when each entry of this process's ledger is trusted (monotonic)."""
    return {}


@locked_cache
def _recorded() -> set[str]:
    """Return the queues that are known to be in this process's ledger."""
    return set()


def declare_queue(queue: Queue | str, task: str) -> str:
    """Register a task's queue and return its name; raises `TaskDeclarationError` for an invalid one."""
    if isinstance(queue, str):
        try:
            name = Queue(queue).name
        except SettingsError as error:
            raise TaskDeclarationError(f"task {task!r}: {error}") from error
        _named_by_tasks.setdefault(name, task)
        return name
    declared, other_task = _declared_by_tasks.setdefault(queue.name, (queue, task))
    if _differ(declared, queue):
        raise TaskDeclarationError(
            f"task {task!r}: the queue {queue.name!r} is declared as {_describe(queue)}, and by task "
            f"{other_task!r} as {_describe(declared)}: keep one of them"
        )
    return queue.name


def declared_queues() -> dict[str, Queue]:
    """Return this process's queues by name; raises `TaskDeclarationError` where two declarations differ."""
    found = dict(_queues_of_application())
    in_settings = {queue.name for queue in get_settings().queues}
    for name, (queue, task) in _declared_by_tasks.items():
        known = found.get(name)
        if known is not None and name not in in_settings and _differ(known, queue):
            raise TaskDeclarationError(
                f"task {task!r}: the queue {name!r} is declared as {_describe(queue)}, and by the "
                f"application as {_describe(known)}: keep one of them"
            )
        found[name] = queue if queue.purpose or known is None else known
    for name in _named_by_tasks:
        found.setdefault(name, Queue(name))
    return dict(sorted(merge_queues(found, get_settings().queues).items()))


def misspelt_queues() -> Iterator[str]:
    """Yield a sentence for each queue that a task alone names, and that is nearly one which is declared."""
    declared = {
        *_queues_of_application(),
        *_declared_by_tasks,
        *(queue.name for queue in get_settings().queues),
    }
    for name, task in _named_by_tasks.items():
        for nearest in [] if name in declared else get_close_matches(name, declared, 1, NEARLY_EQUAL):
            if not _is_numbered(name, nearest):
                yield (
                    f"task {task!r} names the queue {name!r}, which nothing declares; is it {nearest!r}? "
                    f"If it is a queue of its own, declare it: queue=Queue({name!r})"
                )


def _is_numbered(name: str, other: str) -> bool:
    # Such as images2 or images-large beside images.
    end = name.removeprefix(other) if name.startswith(other) else other.removeprefix(name)
    return end != other and not end[0].isalpha()


@cache
def _queues_of_application() -> dict[str, Queue]:
    return queues_by_name((DEFAULT_QUEUE, *get_application().queues))


def check_queue(name: str) -> None:
    """Raise `QueueNotFoundError` for a queue that no process has declared.

    A queue is looked up in the ledger only if this process does not know it.
    """
    if _is_declared_here(name) or _trusted_until().get(name, 0.0) > monotonic():
        return
    known = known_queues(get_ledger().database)
    if name not in known:
        raise QueueNotFoundError(name, sorted(known | declared_queues()))
    _trusted_until()[name] = monotonic() + LEDGER_ENTRY_SECONDS


def record_queue(name: str) -> None:
    """Write a queue to the ledger at its first job, unless it is there already.

    So keepers and the API know the queue before any worker with this task has started.
    """
    if name in _recorded():
        return
    database = get_ledger().database
    if name not in known_queues(database):
        declare_queues(database, {name: declared_queues().get(name, Queue(name))})
    _recorded().add(name)


def _is_declared_here(name: str) -> bool:
    return (
        name in _named_by_tasks
        or name in _declared_by_tasks
        or name in _queues_of_application()
        or any(queue.name == name for queue in get_settings().queues)
    )


def _differ(first: Queue, second: Queue) -> bool:
    purposes = {queue.purpose for queue in (first, second) if queue.purpose}
    return first.kind is not second.kind or len(purposes) > 1


def _describe(queue: Queue) -> str:
    return f"{queue.kind} ({queue.purpose})" if queue.purpose else str(queue.kind)
