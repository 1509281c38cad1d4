"""Tasks that are classes with a method `run`: `app.register_task(MyTask())`."""

from collections.abc import Mapping
from typing import Any

from jobyard.broker.celery_app import app
from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.define import define
from jobyard.tasks.task import Task
from jobyard.tasks.task_class import task_class


def register_task(task: Any, options: Mapping[str, Any]) -> Any:
    """Declare an object of a class that derives from `Task`; its attributes are its options.

    Raises `TaskDeclarationError` for another object, and for one without `run`.
    """
    kind = type(task)
    if not isinstance(task, Task):
        raise TaskDeclarationError(
            f"register_task: {kind.__qualname__} must derive from jobyard's Task: from jobyard import Task"
        )
    if not any("run" in vars(one) for one in kind.__mro__[: kind.__mro__.index(Task)]):
        raise TaskDeclarationError(f"register_task: {kind.__qualname__} has no method run(self, ...)")
    task.name = task.name or app.gen_task_name(kind.__name__, kind.__module__)
    members = {"__doc__": kind.__doc__, "__module__": kind.__module__}
    task.__class__ = task_class(kind.__name__, kind, members)
    return define(task, kind.run, kind, is_bound=True, options=options)
