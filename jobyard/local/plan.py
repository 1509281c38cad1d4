"""`python -m jobyard.local.plan FD`: checks everything, and writes what is to be started to a file
descriptor.

A process of its own, because it loads every task and the ledger: the supervisor, which stays, is spared that.
"""

import fcntl
import json
import os
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from jobyard.jobs.errors import JobyardError
from jobyard.settings import ENV_PREFIX, Settings, SettingsError, load_settings

LOCK: Final = "yard.lock"
# Ctrl-C is meant now; a worker in production has twenty seconds.
GRACE: Final = timedelta(seconds=3)


def plan(settings: Settings, *, is_reload: bool) -> dict[str, Any]:
    """Return what the supervisor has to know, as JSON has it; ends the program where nothing could start.

    Raises `TaskDeclarationError`, `SettingsError` and `LedgerUnavailableError`.
    """
    # Only now: these import the tasks, which cannot be without right settings.
    from jobyard.local.additions import added_environment, added_processes
    from jobyard.local.preflight import prepare
    from jobyard.local.processes import BROKER, local_processes, python_module
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    processes = local_processes(settings, added_processes(settings))
    if not is_reload:
        prepare(settings, processes)
    environment = dict(added_environment(settings))
    if "grace" not in settings.worker.model_fields_set:
        environment[f"{ENV_PREFIX}WORKER__GRACE"] = str(GRACE.total_seconds())
    return {
        "lock": str(settings.home.absolute() / LOCK),
        "broker": BROKER,
        "environment": environment,
        "processes": [asdict(process) for process in processes],
        "welcome": python_module("jobyard.local.welcome"),
    }


def refuse_second_start(home: Path) -> None:
    """End the program where another supervisor runs in this folder."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            sys.exit(f"a yard runs in {home} already (process {file.read().strip()}); its Ctrl-C ends it")


def main() -> None:
    is_reload = "--reload" in sys.argv
    try:
        settings = load_settings()
        if not is_reload:
            refuse_second_start(settings.home)
        found = plan(settings, is_reload=is_reload)
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    with os.fdopen(int(sys.argv[1]), "w") as answer:
        json.dump(found, answer)


if __name__ == "__main__":
    main()
