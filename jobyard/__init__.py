"""A job service on Celery: what is accepted is written down, and ends in one recorded outcome.

The names of `__all__` are the public face. Each is looked up at its first use (PEP 562), so that a program
that hands jobs in loads neither a server nor what runs jobs.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jobyard.jobs.errors import (
        CallRefusedError,
        Discard,
        FileNotStoredError,
        FileTooLargeError,
        IdempotencyConflictError,
        IllegalMoveError,
        JobNotFoundError,
        JobyardError,
        LedgerUnavailableError,
        OutcomeUnknownError,
        RetryLater,
        TaskDeclarationError,
    )
    from jobyard.jobs.files.store import FileStore, StoredFile, get_files
    from jobyard.jobs.job import Job, Status
    from jobyard.schedules.schedule import Schedule, crontab
    from jobyard.settings.application import Application, SettingsSection
    from jobyard.settings.errors import SettingsError
    from jobyard.settings.queues import Queue, QueueKind
    from jobyard.settings.settings import get_section
    from jobyard.tasks.app import Jobyard
    from jobyard.tasks.context import JobContext, current_job
    from jobyard.tasks.coroutines import run_coroutine
    from jobyard.tasks.declare import shared_task, task
    from jobyard.tasks.external import external
    from jobyard.tasks.handle import AsyncResult, JobHandle
    from jobyard.tasks.options import JobOptions
    from jobyard.tasks.payload import FileId, Payload
    from jobyard.tasks.request import current_task
    from jobyard.tasks.result_errors import JobFailedError
    from jobyard.tasks.send_task import send_task
    from jobyard.tasks.task import Task

__all__ = [
    "Application",
    "AsyncResult",
    "CallRefusedError",
    "Discard",
    "FileId",
    "FileNotStoredError",
    "FileStore",
    "FileTooLargeError",
    "IdempotencyConflictError",
    "IllegalMoveError",
    "Job",
    "JobContext",
    "JobFailedError",
    "JobHandle",
    "JobNotFoundError",
    "JobOptions",
    "Jobyard",
    "JobyardError",
    "LedgerUnavailableError",
    "OutcomeUnknownError",
    "Payload",
    "Queue",
    "QueueKind",
    "RetryLater",
    "Schedule",
    "SettingsError",
    "SettingsSection",
    "Status",
    "StoredFile",
    "Task",
    "TaskDeclarationError",
    "crontab",
    "current_job",
    "current_task",
    "external",
    "get_files",
    "get_section",
    "run_coroutine",
    "send_task",
    "shared_task",
    "task",
]

OLDEST_PYTHON: Final = (3, 11)
_MODULES: Final = {
    "jobyard.jobs.errors": (
        *(
            "CallRefusedError",
            "Discard",
            "FileNotStoredError",
            "FileTooLargeError",
            "IdempotencyConflictError",
        ),
        *("IllegalMoveError", "JobNotFoundError", "JobyardError", "LedgerUnavailableError"),
        *("OutcomeUnknownError", "RetryLater", "TaskDeclarationError"),
    ),
    "jobyard.jobs.files.store": ("FileStore", "StoredFile", "get_files"),
    "jobyard.jobs.job": ("Job", "Status"),
    "jobyard.schedules.schedule": ("Schedule", "crontab"),
    "jobyard.settings.application": ("Application", "SettingsSection"),
    "jobyard.settings.errors": ("SettingsError",),
    "jobyard.settings.queues": ("Queue", "QueueKind"),
    "jobyard.settings.settings": ("get_section",),
    "jobyard.tasks.app": ("Jobyard",),
    "jobyard.tasks.context": ("JobContext", "current_job"),
    "jobyard.tasks.coroutines": ("run_coroutine",),
    "jobyard.tasks.handle": ("AsyncResult", "JobHandle"),
    "jobyard.tasks.options": ("JobOptions",),
    "jobyard.tasks.result_errors": ("JobFailedError",),
    "jobyard.tasks.send_task": ("send_task",),
    "jobyard.tasks.payload": ("FileId", "Payload"),
    "jobyard.tasks.request": ("current_task",),
    "jobyard.tasks.declare": ("shared_task", "task"),
    "jobyard.tasks.external": ("external",),
    "jobyard.tasks.task": ("Task",),
    # Not public: where `celery -A jobyard` finds the application.
    "jobyard.worker.entry": ("app",),
}
# Modules that an `import jobyard` is enough for.
_SUBMODULES: Final = ("signals", "testing")
# For workflows in Celery. `from ... import` would hide the words of an `AttributeError`.
_CANVAS: Final = ("chain", "chord", "chunks", "group", "signature", "subtask", "xmap", "xstarmap")
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def check_python() -> None:
    """Raise `ImportError` where this Python is older than the engine."""
    if sys.version_info < OLDEST_PYTHON:
        raise ImportError(f"Jobyard needs Python 3.11 or newer, and this is {sys.version.split()[0]}")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        check_python()
        return import_module(f"{__name__}.{name}")
    if name in _CANVAS:
        raise ImportError(f"jobyard.{name}: {import_module('jobyard.tasks.not_there').NO_CANVAS}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_python()
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
