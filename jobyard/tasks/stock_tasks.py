"""Finds tasks of Celery's own in a module of tasks: their calls would never reach the ledger."""

import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import celery
from celery import canvas
from celery.local import PromiseProxy

from jobyard.broker.celery_app import app
from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.not_there import NO_CANVAS

# What a module may have imported from Celery, and would publish messages with, instead of jobs.
_PUBLISHING_NAMES: Final = ("chain", "chord", "chunks", "group", "signature", "xmap", "xstarmap")
_PAST_THE_LEDGER: Final = "this task would be published past the ledger"
_INSTALLED: Final = tuple(
    Path(path).resolve() for name, path in sysconfig.get_paths().items() if name in ("purelib", "platlib")
)


def check_module(module: ModuleType) -> None:
    """Raise `TaskDeclarationError` for a module of the project that declares a task with Celery itself.

    An installed package may: `left_alone` names its tasks.
    """
    if is_installed(module):
        return
    for fault in _faults(module):
        raise TaskDeclarationError(f"{module.__name__}: {fault}")


def left_alone() -> list[str]:
    """Return the names of the tasks that Celery's own decorators have declared, and that stay Celery's."""
    return sorted({_name(function) for function in app.stock_functions})


def is_installed(module: ModuleType) -> bool:
    """Tell whether a module stands in a folder of installed packages, and not in a project's own."""
    path = getattr(module, "__file__", None)
    return path is not None and any(Path(path).resolve().is_relative_to(folder) for folder in _INSTALLED)


def _faults(module: ModuleType) -> Iterator[str]:
    for function in app.stock_functions:
        if function.__module__ == module.__name__:
            yield (
                f"{function.__name__} is a task of Celery's own: import shared_task or Jobyard from jobyard: "
                f"{_PAST_THE_LEDGER}"
            )
    for name, value in vars(module).items():
        if _is_task_of_another_app(value):
            yield (
                f"{name} is a task of another Celery application: declare it with jobyard's Jobyard, task or "
                f"shared_task: {_PAST_THE_LEDGER}"
            )
        elif value is celery.shared_task:
            yield f"{name} is celery.shared_task: import it from jobyard: {_PAST_THE_LEDGER}"
        for publishing in _PUBLISHING_NAMES:
            if value is getattr(canvas, publishing):
                yield (
                    f"{name} is celery.{publishing}, and what it calls would be published past the ledger: "
                    f"{NO_CANVAS}"
                )


def _is_task_of_another_app(value: object) -> bool:
    # By type: what stands behind the other proxies of Celery's, like `current_app`, changes with its user.
    if type(value) is PromiseProxy:
        value = value._get_current_object()
    return issubclass(type(value), celery.Task) and getattr(value, "_app", None) is not app


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__name__}"
