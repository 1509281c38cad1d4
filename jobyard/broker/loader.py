"""Celery's loader: `celery -A project` starts our workers, and finds the tasks as every process does."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from celery.loaders.app import AppLoader

from jobyard.jobs.errors import JobyardError
from jobyard.settings import SettingsError


class Loader(AppLoader):
    """Loads the tasks; `jobyard/tasks/registry.py` says how."""

    load_tasks: Callable[[], Any] = staticmethod(lambda: None)

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        """Overridden so that no module of settings is read past the check of its names."""
        return {}

    def init_worker(self) -> None:
        """Overridden so that the worker or the beat of `celery -A project` is one of ours."""
        import_module("jobyard.worker.entry")
        super().init_worker()

    def import_default_modules(self) -> list[Any]:
        """Overridden so that a wrong declaration ends Celery's programs with a sentence."""
        try:
            type(self).load_tasks()
        except (SettingsError, JobyardError) as error:
            sys.exit(str(error))
        return []

    def import_modules_of_app(self) -> set[str]:
        """Import what the Celery application itself names or discovers, and return the modules' names."""
        super().import_default_modules()
        untyped: Any = self  # celery-types does not know the attribute
        return set(untyped.task_modules)
