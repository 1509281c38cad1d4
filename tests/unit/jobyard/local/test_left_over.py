"""A process that an earlier start has left behind is found by its lock, also when only its child lives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard.local.left_over import left_over, open_process_file, write_process_id


def start(folder: Path, name: str, code: str) -> "subprocess.Popen[bytes]":
    descriptor = open_process_file(folder, name)
    process = subprocess.Popen(
        [sys.executable, "-c", code], pass_fds=[descriptor], stdin=subprocess.PIPE, start_new_session=True
    )
    write_process_id(descriptor, process.pid)
    return process


@pytest.mark.parametrize(
    "code", ["input()", "import os\nif os.fork(): os._exit(0)\ninput()"], ids=["itself", "its child"]
)
def test_a_process_is_left_until_it_and_its_children_have_ended(tmp_path: Path, code: str) -> None:
    assert left_over(tmp_path / "running") == {}
    process = start(tmp_path / "running", "worker", code)
    assert left_over(tmp_path / "running") == {"worker": process.pid}
    assert process.stdin is not None
    if "fork" in code:
        assert process.wait(20) == 0
        assert left_over(tmp_path / "running") == {"worker": process.pid}
    process.communicate(b"\n", timeout=20)
    while left_over(tmp_path / "running"):
        os.sched_yield()


def test_the_one_that_was_started_last_is_named(tmp_path: Path) -> None:
    first, second = (start(tmp_path, "worker", "input()") for _ in range(2))
    assert left_over(tmp_path) == {"worker": second.pid}
    for process in (first, second):
        process.communicate(b"\n", timeout=20)


def test_a_process_whose_id_was_not_written_is_left_out(tmp_path: Path) -> None:
    descriptor = open_process_file(tmp_path, "worker")
    assert left_over(tmp_path) == {}
    os.close(descriptor)
