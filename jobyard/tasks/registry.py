"""The tasks of this process: their definitions by name, and the modules that declare them."""

from functools import cache
from importlib import import_module
from typing import Final

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import TaskDeclarationError, TaskNotFoundError
from jobyard.jobs.reading.declared_queues import declare_queues
from jobyard.jobs.reading.declared_tasks import DeclaredTask, declare
from jobyard.settings import get_settings
from jobyard.settings.application import get_application, why_missing
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.queues import declared_queues

HOUSEKEEPING: Final = "jobyard.tasks.housekeeping"

declared: dict[str, AnyDefinition] = {}
_by_any_name: dict[str, AnyDefinition] = {}


def register(definition: AnyDefinition) -> None:
    """Make a task known by its name and its former names."""
    declared[definition.name] = definition
    _by_any_name.update(dict.fromkeys((definition.name, *definition.aliases), definition))


def forget(name: str) -> None:
    """Make a task unknown again: for tests that declare some."""
    definition = declared.pop(name, None)
    if definition is not None:
        for known in (name, *definition.aliases):
            _by_any_name.pop(known, None)


@cache
def load_tasks() -> dict[str, AnyDefinition]:
    """Import every task module and return the tasks by name; raises `TaskDeclarationError`."""
    import_module(HOUSEKEEPING)
    for module in get_application().tasks:
        _import(module, "the application names")
    for module in get_settings().tasks.modules:
        _import(module, "JOBYARD_TASKS__MODULES names")
    declared_queues()  # which raises where two declarations differ
    return {name: declared[name] for name in sorted(declared)}


def known_task(name: str) -> AnyDefinition | None:
    """Return the task of that name, or of which it is an alias, among those that are loaded."""
    return _by_any_name.get(name)


def find_task(name: str) -> AnyDefinition:
    """Return the task of that name, or of which it is an alias; raises `TaskNotFoundError`."""
    tasks = load_tasks()
    task = known_task(name)
    if task is None:
        raise TaskNotFoundError(name, list(tasks))
    return task


def declare_all(database: LedgerDatabase) -> None:
    """Write queues and tasks down in the ledger, each task by all its names, for other processes and SQL."""
    tasks = load_tasks()
    declare_queues(database, declared_queues())
    declare(
        database,
        [
            DeclaredTask(
                name, task.name, task.declaration.queue, task.declaration.priority, task.policy.max_attempts
            )
            for task in tasks.values()
            for name in (task.name, *task.aliases)
        ],
    )


def _import(module: str, says: str) -> None:
    before = len(declared)
    try:
        imported = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise TaskDeclarationError(
            f"{says} {module!r}, which cannot be imported: {why_missing(module)}"
        ) from error
    if len(declared) == before and not _declares(module):
        where = getattr(imported, "__file__", None) or "a folder without __init__.py"
        raise TaskDeclarationError(
            f"{says} {module!r}, which is {where} and declares no task: is it the one that is meant? "
            "A task is a function under @task, from jobyard import task"
        )


def _declares(module: str) -> bool:
    # It may have been imported before, or hand on the tasks of the modules below it.
    return any(f"{task.function.__module__}.".startswith(f"{module}.") for task in declared.values())
