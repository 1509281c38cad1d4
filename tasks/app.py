"""The yard's Celery application: `celery -A tasks.app worker`. The tasks are loaded when a program starts."""

import sys
from pathlib import Path
from typing import Any

from celery.signals import import_modules

from jobyard.broker.celery_app import app
from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.registry import load_tasks

__all__ = ["app"]

# The `celery` command has the yard's folder on its path only until it has found this module; what the yard
# and its settings name is looked for there all the time.
sys.path.insert(0, str(Path(__file__).parents[1]))


@import_modules.connect
def _load_tasks(**_: Any) -> None:
    try:
        load_tasks()
    except TaskDeclarationError as error:
        sys.exit(str(error))
