"""The class that tasks without a base of their own are made from: `Task`, or what the application sets."""

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
