"""A test run that is interrupted or killed leaves none of its processes behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.processes import ROOT, lives
from tests.support.waiting import wait_until

# A test like those of this repository: with the run's own broker and worker.
TEST = """
import time

def test_that_hangs(worker):
    print("hanging", flush=True)
    time.sleep(100)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "test_that_hangs.py").write_text(TEST)
    command = [
        *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-n", "1"),
        *("-c", str(ROOT / "pyproject.toml"), str(tmp_path / "test_that_hangs.py")),
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment = inherited | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, cwd=ROOT, start_new_session=True) as run,
    ):
        wait_until(lambda: has_worker(tmp_path) or run.poll() is not None, 60, "the test run's worker")
        processes = psutil.Process(run.pid).children(recursive=True)
        assert len(processes) >= 4, (tmp_path / "log").read_text()  # pytest's, a guard, Valkey and a worker
        os.killpg(run.pid, number)
        wait_until(lambda: not any(map(lives, processes)), 40, "every process to end")


def has_worker(folder: Path) -> bool:
    return any("ready." in log.read_text() for log in folder.glob("jobyard-tests-*/worker-*.log"))
