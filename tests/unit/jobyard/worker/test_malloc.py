"""What a child process of the prefork pool frees, it has for its next job."""

import ctypes
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

# Three buffers as large as those of a photograph, and how many pages are mapped for them each time.
SCRIPT = """
import resource, threading
from jobyard.worker.malloc import keep_freed_memory

def take():
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        buffers = [bytearray(20 << 20) for _ in range(3)]
        del buffers
        print(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

{first}
thread = threading.Thread(target=take)
thread.start()
thread.join()
"""


def pages_mapped_each_time(first: str) -> list[int]:
    command = [sys.executable, "-c", SCRIPT.format(first=first)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(line) for line in run.stdout.split()]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this is no glibc")
def test_what_a_thread_has_freed_is_there_for_its_next_job() -> None:
    assert pages_mapped_each_time("")[-1] > 5_000, "the test is about something that glibc does by itself"
    assert pages_mapped_each_time("keep_freed_memory(128 << 20)")[-1] < 500
    assert pages_mapped_each_time("keep_freed_memory(16 << 20)")[-1] > 5_000, "more was kept than may be"
