"""What `celery -A jobyard` finds: the Celery application, whose commands load the tasks and log as we do."""

import os
import sys
from typing import Any

from celery.signals import import_modules, setup_logging

from jobyard.jobs.errors import JobyardError
from jobyard.settings import SettingsError, get_settings
from jobyard.settings.log_setup import set_up_logging

# The `celery` command has the working directory on its path only until it has found this module; what the
# application and the settings name is looked for there all the time.
if os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())

try:
    get_settings()
except SettingsError as error:
    sys.exit(str(error))

# Only now: they cannot be imported without right settings.
from jobyard.broker.celery_app import app
from jobyard.broker.queues import add_queues
from jobyard.tasks.queues import declared_queues
from jobyard.tasks.registry import load_tasks

__all__ = ["app"]


@import_modules.connect
def _load_tasks(sender: Any = None, **_: Any) -> None:
    if sender is not app:
        return
    try:
        load_tasks()
        add_queues(declared_queues())
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))


@setup_logging.connect
def _log_as_jobyard_does(**_: Any) -> None:
    set_up_logging(get_settings().log)
