"""`python -m jobyard.local.start`: everything of the Procfile in the foreground, with one log, until
Ctrl-C."""

import fcntl
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from honcho import environ, manager
from honcho.printer import Printer

from jobyard.jobs.errors import JobyardError
from jobyard.settings.settings import ENV_PREFIX, Settings, SettingsError, load_settings

PROCFILE = Path(__file__).parents[2] / "Procfile"
LAST_TO_END = "valkey"
# More than a worker needs for its grace, for handing back, and for saying goodbye.
LONGEST_STOP_SECONDS = 12
GRACE = timedelta(seconds=3)


class YardManager(manager.Manager):  # type: ignore[misc]
    """honcho's manager; the broker ends after those who still have something to say to it."""

    _has_told_the_broker = False

    def _killall(self, force: bool = False) -> None:
        """Overridden so that the broker is not told to end with the others."""
        broker = self._processes.pop(LAST_TO_END, None)
        super()._killall(force)
        if broker is not None:
            self._processes[LAST_TO_END] = broker
            if force:
                self._procmgr.kill(broker["pid"])

    def _all_stopped(self) -> bool:
        """Overridden so that the broker is told to end once it is the last."""
        broker = self._processes[LAST_TO_END]
        others = (process for name, process in self._processes.items() if name != LAST_TO_END)
        if self._terminating and all(process.get("returncode") is not None for process in others):
            if not self._has_told_the_broker:
                self._procmgr.terminate(broker["pid"])
            self._has_told_the_broker = True
        return bool(super()._all_stopped())


def environment(settings: Settings) -> dict[str, str]:
    """Return what the processes of a yard on one machine are told besides the settings."""
    told = {
        "WORKER__THREADS": str(settings.worker.threads),
        "WORKER__PROCESSES": str(settings.worker.processes),
    }
    if not settings.collect.allow:
        # The sample job of the welcome collects a page of the yard itself; nothing else on loopback.
        told["COLLECT__ALLOW"] = f"127.0.0.1:{settings.api.port}"
    if "grace" not in settings.worker.model_fields_set:
        told["WORKER__GRACE"] = str(GRACE.total_seconds())  # Ctrl-C is meant now
    return {f"{ENV_PREFIX}{name}": value for name, value in told.items()}


def lock(home: Path) -> TextIO:
    """Take the folder for this yard alone; ends the program where another yard runs there."""
    home.mkdir(parents=True, exist_ok=True)
    file = (home / "yard.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        sys.exit(f"a yard runs in {home} already (process {file.read().strip()}); its Ctrl-C ends it")
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def run() -> int:
    """Start the processes of the Procfile and wait for their end; return the exit code."""
    manager.KILL_WAIT = LONGEST_STOP_SECONDS
    yard = YardManager(Printer(sys.stdout))
    for name, command in environ.parse_procfile(PROCFILE.read_text()).processes.items():
        yard.add_process(name, command, env=dict(os.environ))
    # A terminal that is closed is a Ctrl-C: nobody would see the log any more.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    yard.loop()
    return int(yard.returncode or 0)


def main() -> None:
    try:
        settings = load_settings()
        locked = lock(settings.home)
        # Only now: it imports the tasks, which cannot be without right settings.
        from jobyard.local.preflight import prepare

        prepare(settings)
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    os.environ |= environment(settings)
    with locked:
        returncode = run()
    sys.exit(0 if returncode == 128 + signal.SIGINT else returncode)


if __name__ == "__main__":
    main()
