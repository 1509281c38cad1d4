"""`python -m jobyard.local.plan FD`: checks everything, and writes the processes to start to a descriptor.

It runs in a process of its own and ends, because it loads every task and the ledger: the supervisor, which
stays, does not hold them in memory.
"""

import fcntl
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from jobyard.jobs.errors import JobyardError
from jobyard.local.left_over import left_over
from jobyard.settings import ENV_PREFIX, Settings, SettingsError, load_settings
from jobyard.settings.application import environment_file
from jobyard.settings.extras import broker_extras, ledger_extras, missing_extras_fault

# Of what is always started; Flower is left out where it is not installed.
EXTRAS: Final = ("api", "worker", "redis", "local")
LOCK: Final = "jobyard.lock"
RUNNING: Final = "running"
# What holds here where a setting does not say otherwise. Workers have 3 s to finish their jobs after Ctrl-C,
# because a person waits.
DEFAULTS: Final = {("worker", "grace"): "3"}


def make_plan(settings: Settings, *, is_reload: bool) -> dict[str, Any]:
    """Return the plan for the supervisor, as JSON data; ends the program if a process could not start.

    Raises `TaskDeclarationError`, `SettingsError` and `LedgerUnavailableError`.
    """
    # Imported here, because these import the tasks, which need valid settings.
    from jobyard.local.additions import added_environment, added_processes
    from jobyard.local.preflight import prepare
    from jobyard.local.processes import BROKER, local_processes, python_module
    from jobyard.schedules.declared import declared_schedules
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    declared_schedules()  # beat would end with what is wrong in them, after everything else has started
    processes = local_processes(settings, added_processes(settings))
    if not is_reload:
        prepare(settings, processes)
    return {
        "lock": str(settings.home.absolute() / LOCK),
        "running": str(settings.home.absolute() / RUNNING),
        "settings_file": str(Path(environment_file() or ".env").absolute()),
        "broker": BROKER,
        "environment": dict(added_environment(settings)) | _defaults(settings),
        "processes": [asdict(process) for process in processes],
        "welcome": python_module("jobyard.local.welcome"),
    }


def _defaults(settings: Settings) -> dict[str, str]:
    return {
        f"{ENV_PREFIX}{section.upper()}__{name.upper()}": value
        for (section, name), value in DEFAULTS.items()
        if name not in getattr(settings, section).model_fields_set
    }


def refuse_second_start(home: Path) -> None:
    """End the program if another supervisor runs in this folder, or has left processes behind."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / LOCK).open("a+")
    except OSError as error:
        sys.exit(f"{ENV_PREFIX}HOME: {home} cannot be written: {error.strerror}. Name another folder")
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            sys.exit(f"Jobyard already runs in {home} (process {file.read().strip()}); Ctrl-C there ends it")
    if left := left_over(home / RUNNING):
        names = ", ".join(f"{name} (process {process_id})" for name, process_id in left.items())
        groups = " ".join(f"-{process_id}" for process_id in left.values())
        sys.exit(
            f"an earlier start in {home} was killed, and of its processes are left: {names}. They are being "
            f"stopped; `kill -KILL {groups}` ends them at once"
        )


def main() -> None:
    is_reload = "--reload" in sys.argv
    try:
        settings = load_settings()
        needed = dict.fromkeys((*EXTRAS, *ledger_extras(settings), *broker_extras(settings)))
        if fault := missing_extras_fault("`jobyard run`", list(needed)):
            sys.exit(fault)
        if not is_reload:
            refuse_second_start(settings.home)
        plan = make_plan(settings, is_reload=is_reload)
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    with os.fdopen(int(sys.argv[1]), "w") as pipe:
        json.dump(plan, pipe)


if __name__ == "__main__":
    main()
