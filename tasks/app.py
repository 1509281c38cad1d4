"""The Celery application. It imports no task module; `tasks/registry.py` loads them when a program starts."""

import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import import_modules, setup_logging

from config.celery_options import celery_options
from config.log_setup import join_the_hosts_logging, set_up_logging
from config.settings import Settings, SettingsError, get_settings
from jobs.errors import TaskDeclarationError

# The `celery` command has the yard's folder on its path only until it has found this module; what the yard
# and its settings name is looked for there all the time.
sys.path.insert(0, str(Path(__file__).parents[1]))


# `python -m worker.keeper`, `python -m yard.move`.
COMMANDS = [Path(__file__).parents[1] / folder for folder in ("worker", "yard")]


def _settings() -> Settings:
    """Return the settings; where they are wrong, a command of ours says so and ends, a program raises."""
    try:
        return get_settings()
    except SettingsError as error:
        command = Path(sys.argv[0])
        if "celery" in command.parts[-2:] or command.parent in COMMANDS:
            sys.exit(str(error))
        raise


join_the_hosts_logging()
app = Celery("jobyard", control="tasks.remote_control:Control")
app.conf.update(celery_options(_settings()))


@setup_logging.connect
def _log_as_the_yard_does(**_: Any) -> None:
    set_up_logging(get_settings().log)


@import_modules.connect
def _load_tasks(**_: Any) -> None:
    from tasks.registry import load_tasks

    try:
        load_tasks()
    except TaskDeclarationError as error:
        sys.exit(str(error))
