"""The Celery application, which imports no task and does not become a program's current application.

The `celery` command finds it through `jobyard/worker/entry.py`, or as the `Jobyard` of a project.
"""

from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.app import builtins

from jobyard.broker.celery_options import celery_options
from jobyard.broker.no_backend import NoBackend
from jobyard.settings import ENV_PREFIX, get_settings
from jobyard.settings.extras import EXTRA_OF_BROKER, check_extra
from jobyard.settings.log_setup import use_host_logging
from jobyard.settings.urls.broker_kind import broker_kind


class LedgerApp(Celery):
    """A Celery application that has no tasks but those whose jobs are in the ledger."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Functions that Celery's own decorators have declared in this process, in the order of declaration.
        self.stock_functions = list[Callable[..., Any]]()
        super().__init__(*arguments, **options)

    def _load_config(self) -> Any:
        """Overridden so that the settings are read at the first use of the configuration.

        The settings may name a module that makes a `Jobyard`, which imports this one.
        """
        settings = get_settings()
        check_extra(f"{ENV_PREFIX}BROKER__URL", EXTRA_OF_BROKER[broker_kind(settings.broker_url)])
        self.conf.update(celery_options(settings))
        load: Any = super()
        return load._load_config()

    def _get_backend(self) -> NoBackend:
        """Overridden because results are in the ledger."""
        return NoBackend(app=self)

    def on_tasks_loaded(self) -> None:
        """Do what is left to do when every module of tasks has been imported: nothing, without a project."""

    def log_settings(self) -> None:
        """Log what a project has set in vain: nothing, without a project."""

    def _task_from_fun(self, fun: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Overridden so that `celery.shared_task` gives this application no task that would have no rows."""
        if fun.__module__ == builtins.__name__:
            make: Any = super()
            return make._task_from_fun(fun, *arguments, **options)
        self.stock_functions.append(fun)
        return None


use_host_logging()
app = LedgerApp(
    "jobyard",
    loader="jobyard.broker.loader:Loader",
    control="jobyard.broker.remote_control:Control",
    set_as_current=False,
)
