"""The guard ends what a killed program has left, and nothing else."""

import signal
import subprocess
import sys

import psutil

from jobyard.local.guard import Guard
from tests.support.processes import ROOT, lives
from tests.support.waiting import wait_until

STARTS_THREE = """
import subprocess, sys, time
from jobyard.local.guard import Guard

guard = Guard(float(sys.argv[1]))
for code in (
    "pass",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "import os; os.fork()",
):
    code += "\\nimport time; print('ready', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    guard.add(process)
print("started", flush=True)
time.sleep(60)
"""


def test_what_a_killed_program_has_started_ends_with_it() -> None:
    command = [sys.executable, "-c", STARTS_THREE, "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "started\n"
        processes = psutil.Process(program.pid).children(recursive=True)
        assert len(processes) == 5  # three, the child of one of them, and the guard
        program.kill()
        wait_until(lambda: not any(map(lives, processes)), 20, "every process to end")


def test_a_process_that_has_ended_is_not_signalled_again() -> None:
    guard = Guard(0)
    ended = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    guard.add(ended)
    ended.wait()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        guard.add(other)
        assert guard.living() == [other.pid]
        guard.close()
        assert other.wait(10) in (-signal.SIGTERM, -signal.SIGKILL)


def test_a_program_that_has_ended_its_processes_leaves_the_guard_nothing_to_do() -> None:
    guard = Guard(30)
    process = subprocess.Popen([sys.executable, "-c", ""])
    guard.add(process)
    process.wait()
    guard.close()
    assert guard.living() == []
