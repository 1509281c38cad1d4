"""Which queues there are: those of the application, of `JOBYARD_QUEUES`, and of the tasks that are loaded."""

from functools import cache
from typing import Final

from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import QueueNotFoundError, TaskDeclarationError
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.declared_queues import declare_queues, known_queues
from jobyard.settings import SettingsError, get_settings
from jobyard.settings.application import get_application
from jobyard.settings.queues import DEFAULT_QUEUE, Queue, by_name, with_kinds_of

# How long a process goes on to accept for a queue that only another process has declared.
BELIEVED_FOR_SECONDS: Final = 60.0

_by_tasks: dict[str, tuple[Queue, str]] = {}
_named_by_tasks: set[str] = set()
_of_others: dict[str, float] = {}
_noted: set[str] = set()


def declare_queue(queue: Queue | str, task: str) -> str:
    """Make a task's queue known and return its name; raises `TaskDeclarationError` for one that cannot be."""
    if isinstance(queue, str):
        try:
            name = Queue(queue).name
        except SettingsError as error:
            raise TaskDeclarationError(f"task {task!r}: {error}") from error
        _named_by_tasks.add(name)
        return name
    declared, by = _by_tasks.setdefault(queue.name, (queue, task))
    if _differ(declared, queue):
        raise TaskDeclarationError(
            f"task {task!r}: the queue {queue.name!r} is declared as {_shown(queue)}, and by task {by!r} as "
            f"{_shown(declared)}: keep one of them"
        )
    return queue.name


def declared_queues() -> dict[str, Queue]:
    """Return the queues that this process knows, by name; raises `TaskDeclarationError` where two differ."""
    found = dict(_of_application())
    settled = {queue.name for queue in get_settings().queues}
    for name, (queue, task) in _by_tasks.items():
        known = found.get(name)
        if known is not None and name not in settled and _differ(known, queue):
            raise TaskDeclarationError(
                f"task {task!r}: the queue {name!r} is declared as {_shown(queue)}, and by the application "
                f"as {_shown(known)}: keep one of them"
            )
        found[name] = queue if queue.purpose or known is None else known
    for name in _named_by_tasks:
        found.setdefault(name, Queue(name))
    return dict(sorted(with_kinds_of(found, get_settings().queues).items()))


@cache
def _of_application() -> dict[str, Queue]:
    return by_name((DEFAULT_QUEUE, *get_application().queues))


def check_queue(name: str) -> None:
    """Raise `QueueNotFoundError` for a queue that no process has declared.

    Only one that this process does not know is looked up in the ledger.
    """
    if _is_declared_here(name) or _of_others.get(name, 0.0) > monotonic():
        return
    known = known_queues(get_ledger().database)
    if name not in known:
        raise QueueNotFoundError(name, sorted(known | declared_queues()))
    _of_others[name] = monotonic() + BELIEVED_FOR_SECONDS


def note_queue(name: str) -> None:
    """Write a queue down in the ledger at the first job for it, where it does not stand there yet.

    So keepers and the API know of it, before any worker with this task has been started.
    """
    if name in _noted:
        return
    database = get_ledger().database
    if name not in known_queues(database):
        declare_queues(database, {name: declared_queues().get(name, Queue(name))})
    _noted.add(name)


def _is_declared_here(name: str) -> bool:
    return (
        name in _named_by_tasks
        or name in _by_tasks
        or name in _of_application()
        or any(queue.name == name for queue in get_settings().queues)
    )


def _differ(one: Queue, other: Queue) -> bool:
    purposes = {queue.purpose for queue in (one, other) if queue.purpose}
    return one.kind is not other.kind or len(purposes) > 1


def _shown(queue: Queue) -> str:
    return f"{queue.kind} ({queue.purpose})" if queue.purpose else str(queue.kind)
