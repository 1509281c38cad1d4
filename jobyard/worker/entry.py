"""The Celery application for `celery -A jobyard`, whose commands load the tasks and use our logging."""

import os
import sys
from typing import Any

from celery.signals import celeryd_init, import_modules, setup_logging

from jobyard.jobs.errors import JobyardError
from jobyard.settings import SettingsError, get_settings
from jobyard.settings.log_setup import set_up_logging

# The `celery` command keeps the working directory on its path only until it has found this module, and takes
# one entry away then; the modules that the application and the settings name are imported from there later.
sys.path.insert(0, os.getcwd())

try:
    get_settings()
    # Imported here, because these modules need valid settings.
    from jobyard.broker.celery_app import app
    from jobyard.broker.queues import add_queues
    from jobyard.tasks.queues import declared_queues
    from jobyard.tasks.registry import load_tasks
    from jobyard.worker.purge_command import refuse_purge
except SettingsError as error:
    sys.exit(str(error))

__all__ = ["app"]

refuse_purge()


@import_modules.connect
def _load_tasks(sender: Any = None, **_: Any) -> None:
    if sender is not app:
        return
    try:
        load_tasks()
        add_queues(declared_queues())
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))


@celeryd_init.connect
def _prepare_worker(instance: Any = None, options: Any = None, **_: Any) -> None:
    if instance.app is not app:
        return
    set_up_logging(get_settings().log)  # before Celery warns of anything
    # Imported here, because beat and Flower run no jobs.
    from jobyard.worker.boot import served_queues

    queues = options.get("queues") or ()
    try:
        served_queues.check_queue_names(queues.split(",") if isinstance(queues, str) else queues)
    except JobyardError as error:
        sys.exit(f"-Q: {error}")


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    set_up_logging(get_settings().log)
