"""The Celery application. It imports no task: `tasks/app.py` loads them when a program starts."""

import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from jobyard.settings.celery_options import celery_options
from jobyard.settings.log_setup import join_the_hosts_logging, set_up_logging
from jobyard.settings.settings import Settings, SettingsError, get_settings

# `python -m jobyard.worker.keeper_thread`, `python -m jobyard.cli.move_broker`.
COMMANDS = [Path(__file__).parents[1] / folder for folder in ("worker", "local", "cli")]


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
app = Celery("jobyard", control="jobyard.broker.remote_control:Control")
app.conf.update(celery_options(_settings()))


@setup_logging.connect
def _log_as_the_yard_does(**_: Any) -> None:
    set_up_logging(get_settings().log)
