"""The tasks of this process: imports the modules that declare them, and finds definitions by name."""

import sys
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

import structlog

from jobyard.broker.celery_app import app
from jobyard.broker.loader import Loader
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import HousekeepingTaskError, TaskDeclarationError, TaskNotFoundError
from jobyard.jobs.reading.declared_queues import declare_queues
from jobyard.jobs.reading.declared_tasks import DeclaredTask, declare_tasks
from jobyard.settings import get_settings
from jobyard.settings.application import get_application, missing_module_reason
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.django_setup import set_up_django
from jobyard.tasks.queues import declared_queues, misspelt_queues
from jobyard.tasks.stock_tasks import check_module, left_alone

log = structlog.get_logger()

HOUSEKEEPING: Final = "jobyard.tasks.housekeeping"
# Modules that tasks imported before the engine was a package, and what they import now.
OLD_IMPORTS: Final = {
    "tasks.base": "from jobyard import task",
    "tasks.context": "from jobyard import current_job",
    "tasks.payload": "from jobyard import FileId, Payload",
    "tasks.options": "from jobyard import JobOptions",
    "tasks.handle": "from jobyard import JobHandle",
    "jobs.errors": "from jobyard import Discard, RetryLater",
    "jobs.files": "from jobyard import get_files",
    "jobs": "from jobyard import ...",
}

declared: dict[str, AnyDefinition] = {}
_by_any_name: dict[str, AnyDefinition] = {}


def register(definition: AnyDefinition) -> None:
    """Register a task under its name and its aliases."""
    declared[definition.name] = definition
    _by_any_name.update(dict.fromkeys((definition.name, *definition.aliases), definition))


def unregister(name: str) -> None:
    """Remove a task from the registry: for tests that declare tasks."""
    definition = declared.pop(name, None)
    if definition is not None:
        for known in (name, *definition.aliases):
            _by_any_name.pop(known, None)


@cache
def load_tasks() -> dict[str, AnyDefinition]:
    """Import every task module and return the tasks by name; raises `TaskDeclarationError`."""
    set_up_django()
    import_module(HOUSEKEEPING)
    for module in get_application().tasks:
        _import(module, "the application names")
    for module in get_settings().tasks.modules:
        _import(module, "JOBYARD_TASKS__MODULES names")
    _load_what_the_app_names()
    declared_queues()  # which raises where two declarations differ
    return {name: declared[name] for name in sorted(declared)}


def _load_what_the_app_names() -> None:
    loader = app.loader
    assert isinstance(loader, Loader)
    for name in sorted(loader.import_modules_of_app()):
        check_module(sys.modules[name])
    app.on_tasks_loaded()


Loader.load_tasks = staticmethod(load_tasks)


def known_task(name: str) -> AnyDefinition | None:
    """Return the loaded task with this name or alias, or None."""
    return _by_any_name.get(name)


def known_public_task(name: str) -> AnyDefinition | None:
    """Return the loaded task with this name or alias, or None; raises `HousekeepingTaskError`."""
    task = known_task(name)
    if task is not None and _is_housekeeping(task):
        raise HousekeepingTaskError(name)
    return task


def find_task(name: str) -> AnyDefinition:
    """Return the task with this name or alias; raises `TaskNotFoundError`."""
    load_tasks()
    task = known_task(name)
    if task is None:
        raise TaskNotFoundError(name, list(public_tasks()))
    return task


def public_tasks() -> dict[str, AnyDefinition]:
    """Return the tasks whose jobs callers may hand in: all but Jobyard's own housekeeping."""
    return {name: task for name, task in load_tasks().items() if not _is_housekeeping(task)}


def find_public_task(name: str) -> AnyDefinition:
    """Return the task with this name or alias; raises `TaskNotFoundError` or `HousekeepingTaskError`."""
    task = find_task(name)
    if _is_housekeeping(task):
        raise HousekeepingTaskError(name)
    return task


def _is_housekeeping(task: AnyDefinition) -> bool:
    return task.function.__module__ == HOUSEKEEPING


def declare_all(database: LedgerDatabase) -> None:
    """Write queues and public tasks, with all their names, to the ledger for other processes and for SQL."""
    tasks = public_tasks()
    for sentence in misspelt_queues():
        log.warning("queue", warning=sentence)
    app.log_settings()
    if names := left_alone():
        log.warning("tasks of Celery's own, which stay Celery's and have no jobs here", names=names)
    declare_queues(database, declared_queues())
    declare_tasks(
        database,
        [
            DeclaredTask(
                name=name,
                task=task.name,
                queue=task.declaration.queue,
                priority=task.declaration.priority,
                max_attempts=task.policy.max_attempts,
                max_losses=task.declared_max_losses,
            )
            for task in tasks.values()
            for name in (task.name, *task.aliases)
        ],
    )


def _import(module: str, source: str) -> None:
    before = len(declared)
    try:
        imported = import_module(module)
    except ModuleNotFoundError as error:
        if error.name in OLD_IMPORTS:
            raise TaskDeclarationError(
                f"{source} {module!r}, which imports {error.name!r}: what Jobyard had there is now "
                f"`{OLD_IMPORTS[error.name]}`"
            ) from error
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, but a module that it imports does not
        raise TaskDeclarationError(
            f"{source} {module!r}, which cannot be imported: {missing_module_reason(module)}"
        ) from error
    check_module(imported)
    if len(declared) == before and not _declares(module) and not _has_app(imported):
        path = getattr(imported, "__file__", None) or "a folder without __init__.py"
        raise TaskDeclarationError(
            f"{source} {module!r}, which is {path} and declares no task: is it the right module? "
            "A task is a function under @task, from jobyard import task"
        )


def _declares(module: str) -> bool:
    # The module may have been imported before, or it may import the tasks of its submodules.
    return any(f"{task.function.__module__}.".startswith(f"{module}.") for task in declared.values())


def _has_app(module: ModuleType) -> bool:
    # Its tasks stand in other modules, which it names or discovers.
    return any(value is app for value in vars(module).values())
