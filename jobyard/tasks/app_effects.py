"""What Celery's settings do where Celery itself does not read them, and which values they take."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from celery.app.annotations import prepare

from jobyard.jobs.errors import CallRefusedError, TaskDeclarationError
from jobyard.settings import SettingsError
from jobyard.settings.eager import set_eager, set_eager_propagates
from jobyard.settings.queues import name_fault, our_queue_name
from jobyard.tasks.app_defaults import app_defaults, change_defaults
from jobyard.tasks.app_queues import queues_of
from jobyard.tasks.app_routes import TaskRoutes
from jobyard.tasks.celery_priority import priority_of
from jobyard.tasks.queues import declare_queue


def check_value(name: str, value: Any) -> str | None:
    """Return what is wrong with the value of an honoured setting, or None."""
    try:
        if check := _CHECKS.get(name):
            check(value)
    except SettingsError as error:
        return str(error).removeprefix(f"{name}: ")
    return None


def _check_queue(value: Any) -> None:
    if fault := name_fault(our_queue_name(str(value))):
        raise SettingsError(fault)


def _check_priority(value: Any) -> None:
    try:
        priority_of(value, needs_setting=True)
    except (CallRefusedError, TypeError) as error:
        raise SettingsError(str(error)) from error


def _check_seconds(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise SettingsError(f"is {value!r}: write seconds, more than zero")


def _check_count(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"is {value!r}: write a whole number, 1 or more")


def _check_modules(value: Any) -> None:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(n, str) for n in names):
        raise SettingsError(f"is {value!r:.100}: write the names of modules, ['shop.tasks']")


def _check_schedules(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise SettingsError(f"is {value!r:.100}: write {{NAME: {{'task': ..., 'schedule': ...}}}}")


def _check_zone(value: Any) -> None:
    try:
        ZoneInfo(str(value))
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError(f"is {value!r}, which is no time zone: write one like Europe/Berlin") from error


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "beat_schedule": _check_schedules,
    "imports": _check_modules,
    "include": _check_modules,
    "task_default_priority": _check_priority,
    "task_default_queue": _check_queue,
    "task_queues": queues_of,
    "task_routes": TaskRoutes,
    "task_soft_time_limit": _check_seconds,
    "task_time_limit": _check_seconds,
    "timezone": _check_zone,
    "worker_concurrency": _check_count,
    "worker_max_tasks_per_child": _check_count,
}


def _set_option(option: str, value: Any) -> None:
    options = {name: known for name, known in app_defaults().options.items() if name != option}
    change_defaults(options=options if value is None else options | {option: value})


def _set_default_queue(name: str | None) -> None:
    _set_option("queue", None if name is None else our_queue_name(name))


def _set_routes(routes: Any) -> None:
    router = TaskRoutes(routes)
    for queue in sorted(router.queues):
        declare_queue(queue, "task_routes")
    change_defaults(router=router if routes else None)


def _set_queues(task_queues: Any) -> None:
    for queue in queues_of(task_queues):
        declare_queue(queue, "task_queues")


def _set_annotations(annotations: Any) -> None:
    known: Any = prepare(annotations)

    def of_task(task: Any) -> Mapping[str, Any]:
        merged: dict[str, Any] = {}
        for annotation in known:
            for found in (annotation.annotate_any(), annotation.annotate(task)):
                merged |= found or {}
        return merged

    try:
        change_defaults(annotations=of_task if annotations else None)
    except TaskDeclarationError as error:
        raise SettingsError(f"task_annotations: {error}") from error


EFFECTS: Final[Mapping[str, Callable[[Any], None]]] = {
    "task_always_eager": lambda value: set_eager(bool(value)),
    "task_eager_propagates": lambda value: set_eager_propagates(bool(value)),
    "task_annotations": _set_annotations,
    "task_default_priority": partial(_set_option, "priority"),
    "task_default_queue": _set_default_queue,
    "task_queues": _set_queues,
    "task_routes": _set_routes,
    "task_soft_time_limit": partial(_set_option, "soft_time_limit"),
    "task_time_limit": partial(_set_option, "time_limit"),
}
