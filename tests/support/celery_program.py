"""The programs of `tests/celery_apps`, on plain Celery as they stand, and on Jobyard with other imports."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobyard.celery_check.check import Checked, check
from jobyard.celery_check.rewrite import rewritten
from tests.support.processes import ROOT, Program, YardProcesses
from tests.support.waiting import wait_until

FOLDER = ROOT / "tests" / "celery_apps"
SECONDS = 60


@dataclass(frozen=True)
class CeleryProgram:
    """A program: where its application is, its queues, and the public names that it needs here."""

    name: str
    app: str
    queues: tuple[str, ...]
    lines_that_move: int
    needs: frozenset[str]

    def copy_to(self, folder: Path) -> Path:
        """Copy the program as it was written, and return where it is."""
        return Path(shutil.copytree(FOLDER / self.name, folder / self.name))

    def move(self, folder: Path) -> Checked:
        """Change a copy's imports as `jobyard celery-check --write` does; return what was found before."""
        found = check(folder)
        for change in rewritten(found):
            change.write()
        return found

    def on_celery(self, folder: Path) -> Any:
        """Run its `main` on plain Celery, and return what it printed."""
        return printed(run(folder, {}, str(FOLDER / "on_celery.py"), self.app, *self.queues))

    def on_jobyard(self, folder: Path, yard: YardProcesses) -> Any:
        """Run its `main` beside a worker of Jobyard's, and return what it printed."""
        environment = self.environment(folder, yard)
        started = start(folder, environment, "worker", "-Q", ",".join(self.queues), "-c", "2")
        try:
            wait_until(
                lambda: " ready." in started.output() or started.process.poll() is not None, 40, "a worker"
            )
            assert started.process.poll() is None, started.output()
            return printed(run(folder, environment, "main.py"))
        except Exception as error:
            error.add_note(started.output())
            raise
        finally:
            started.stop()

    def environment(self, folder: Path, yard: YardProcesses) -> dict[str, str]:
        """Return the settings for a ledger of the program's own, on the broker of a yard."""
        environment = {
            "JOBYARD_HOME": str(folder / "var"),
            "JOBYARD_ENV_FILE": "",
            "JOBYARD_APP": self.app,
            "JOBYARD_BROKER__URL": yard.valkey_url,
            "JOBYARD_REDIS__PREFIX": f"{self.name}-",
            "JOBYARD_KEEPER__INTERVAL": "0.2",
        }
        done = run(folder, environment, "-m", "jobyard", "migrate")
        assert done.returncode == 0, done.stderr
        return environment


def printed(done: "subprocess.CompletedProcess[str]") -> Any:
    """Return the JSON of a program's last line; the assertion fails where the program did."""
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def run(folder: Path, environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run some Python in a program's folder to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=_environment(folder, environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def start(folder: Path, environment: dict[str, str], *arguments: str) -> Program:
    """Start `jobyard` in a program's folder."""
    log = folder / f"{arguments[0]}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobyard", *arguments],
            cwd=folder,
            env=_environment(folder, environment),
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Program(arguments[0], process, log)


def _environment(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("JOBYARD_", "CELERY_"))
    }
    own = {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
        "FEEDS_JOURNAL": str(folder / "journal"),
        "LIBRARY_DATABASE": str(folder / "library.sqlite3"),
    }
    return inherited | own | environment
