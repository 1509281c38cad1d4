"""`make run` is killed with -9, make or its supervisor: no process is left, or the next start names it."""

import os
import re
import signal
import subprocess

import psutil
import pytest

from tests.support.processes import Program, lives
from tests.support.waiting import wait_until
from tests.support.whole_yard import WholeYard, needs_proc

pytestmark = [needs_proc, pytest.mark.timeout(180)]


def supervisor_of(running: Program) -> psutil.Process:
    [supervisor] = psutil.Process(running.process.pid).children()
    return supervisor


def process_of(supervisor: psutil.Process, word: str) -> psutil.Process:
    return next(process for process in supervisor.children() if word in " ".join(process.cmdline()))


def test_all_ends_when_make_is_killed(own_yard: WholeYard) -> None:
    running = own_yard.open()
    running.process.kill()
    running.process.wait(10)
    wait_until(lambda: not own_yard.process_ids(), 60, "every process to end")
    assert "the process that started this one has ended" in running.output()


def test_all_ends_when_the_supervisor_is_killed_even_a_frozen_process(own_yard: WholeYard) -> None:
    running = own_yard.open()
    supervisor = supervisor_of(running)
    worker = process_of(supervisor, "--kind threads")
    worker.suspend()
    supervisor.kill()
    wait_until(lambda: running.process.poll() is not None, 10, "make to end")

    refused = own_yard.make_run()
    wait_until(lambda: refused.process.poll() is not None, 60, "the next start to give up")
    assert "an earlier start in" in refused.output()
    assert f"worker-io (process {worker.pid})" in refused.output()
    wait_until(lambda: not own_yard.process_ids(), 60, "every process to end")
    assert not lives(worker)


def test_processes_that_nothing_has_ended_are_named_with_the_command_that_ends_them(
    own_yard: WholeYard,
) -> None:
    running = own_yard.open()
    supervisor = supervisor_of(running)
    processes = supervisor.children()
    guard = process_of(supervisor, "guard.py")
    for process in (guard, supervisor):
        process.suspend()  # so that neither sees the other end
    for process in (guard, supervisor):
        process.kill()
    wait_until(lambda: running.process.poll() is not None, 10, "make to end")

    refused = own_yard.make_run()
    wait_until(lambda: refused.process.poll() is not None, 60, "the next start to give up")
    named = re.findall(r"(\S+) \(process (\d+)\)", refused.output())
    known = {process.pid for process in processes} - {guard.pid}
    assert {int(process_id) for _, process_id in named} <= known
    assert {name for name, _ in named} >= {"valkey", "api", "worker-io", "worker-cpu", "beat", "flower"}
    [command] = re.findall(r"`(kill .*)`", refused.output())
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    wait_until(lambda: not own_yard.process_ids(), 20, "every process to end")
    again = own_yard.open()
    os.killpg(again.process.pid, signal.SIGINT)
    wait_until(lambda: again.process.poll() is not None, 30, "the next start to end")
