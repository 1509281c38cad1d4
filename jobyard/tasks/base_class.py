"""The classes that tasks are made from: their own base, or else `Task` or what the application sets."""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.app_defaults import follow_defaults
from jobyard.tasks.task import Task

_base: type[Task[..., Any]] = Task


def default_base() -> type[Task[..., Any]]:
    """Return the base class of tasks that name none."""
    return _base


def set_default_base(base: object) -> None:
    """Set that class; tasks that were declared before get it, too. Raises `TaskDeclarationError`."""
    global _base
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise TaskDeclarationError(
            f"app.Task must be a class that is derived from jobyard's Task, unlike {base!r:.200}: "
            "from jobyard import Task, or derive it from app.Task"
        )
    before, _base = _base, base
    try:
        follow_defaults()
    except Exception:
        _base = before
        follow_defaults()
        raise


def overrides_call(base: type[Task[..., Any]] | None) -> bool:
    """Tell whether a base class has a `__call__` of its own, which then runs the task's function."""
    return base is not None and base.__call__ is not Task.__call__


def check_base(name: str, base: object, function: Callable[..., Any]) -> None:
    """Raise `TaskDeclarationError` for what no task's function can have as its base."""
    if base is None:
        return
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise TaskDeclarationError(
            f"task {name!r}: base must be a class that is derived from jobyard's Task, unlike {base!r:.200}: "
            "from jobyard import Task"
        )
    if overrides_call(base) and iscoroutinefunction(function):
        raise TaskDeclarationError(
            f"task {name!r}: {base.__qualname__} has a __call__ of its own, which would block the event loop "
            "of an `async def` task: do what it does in the task, or in before_start and after_return"
        )
