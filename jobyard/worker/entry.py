"""The Celery application for `celery -A jobyard`, whose commands load the tasks and use our logging."""

import os
import sys
from typing import Any

from celery.signals import celeryd_init, setup_logging

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
    from jobyard.broker.celery_commands import mend_commands
    from jobyard.broker.queues import add_queues
    from jobyard.tasks import registry  # it tells the loader how tasks are found
    from jobyard.tasks.queues import declared_queues

    app.conf.finalize()
except SettingsError as error:
    sys.exit(str(error))

__all__ = ["app", "registry"]

mend_commands()


@celeryd_init.connect
def _prepare_worker(instance: Any = None, options: Any = None, **_: Any) -> None:
    if instance.app is not app:
        return
    set_up_logging(get_settings().log)  # before Celery warns of anything
    # Imported here, because beat and Flower run no jobs.
    from jobyard.worker.boot import served_queues

    add_queues(declared_queues())
    served_queues.name_as_in_celery()
    queues = options.get("queues") or ()
    try:
        served_queues.check_queue_names(queues.split(",") if isinstance(queues, str) else queues)
    except JobyardError as error:
        sys.exit(f"-Q: {error}")


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    set_up_logging(get_settings().log)
