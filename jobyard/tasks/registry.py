"""The task modules, by name, and the tasks that they declare."""

from functools import cache
from importlib import import_module

from sqlalchemy import Engine

from jobyard.jobs.errors import TaskDeclarationError, TaskNotFoundError
from jobyard.jobs.reading.declared_tasks import DeclaredTask, declare
from jobyard.settings.settings import get_settings
from jobyard.tasks.task import AnyTask, declared

BUILT_IN = ("jobyard.tasks.housekeeping", "tasks.mail.task", "tasks.images.task", "tasks.collect.task")


@cache
def load_tasks() -> dict[str, AnyTask]:
    """Import every task module and return the tasks by name; raises `TaskDeclarationError`."""
    for module in (*BUILT_IN, *get_settings().tasks.modules):
        _import(module)
    return {name: declared[name] for name in sorted(declared)}


def find_task(name: str) -> AnyTask:
    """Return the task of that name, or of which it is an alias; raises `TaskNotFoundError`."""
    tasks = load_tasks()
    for task in tasks.values():
        if name == task.name or name in task.aliases:
            return task
    raise TaskNotFoundError(name, list(tasks))


def declare_tasks(engine: Engine) -> None:
    """Write the tasks down in the ledger, by each of their names, for those who submit in SQL."""
    declare(
        engine,
        [
            DeclaredTask(
                name, task.name, task.declaration.queue, task.declaration.priority, task.policy.max_attempts
            )
            for task in load_tasks().values()
            for name in (task.name, *task.aliases)
        ],
    )


def _import(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise TaskDeclarationError(
            f"JOBYARD_TASKS__MODULES names {module!r}, which cannot be imported: put it in this folder or "
            "on PYTHONPATH"
        ) from error
