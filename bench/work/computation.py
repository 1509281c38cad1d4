"""A job that computes: a loop in pure Python, as long as `BENCH_LOOPS` says, which notes its own CPU time."""

import os
from time import thread_time

from bench.tools.runs import note_cpu, note_run

VARIABLE = "BENCH_LOOPS"
SECONDS = 0.05


_for_last_note = 0.0


def compute_and_note(number: int) -> None:
    """Note that this job runs, compute, and note the CPU seconds that it took.

    What it takes to note them is none of the queue's cost either, and counts to the next job.
    """
    global _for_last_note
    began = thread_time()
    note_run(number)
    _loop(int(os.environ[VARIABLE]))
    ended = thread_time()
    note_cpu(ended - began + _for_last_note)
    _for_last_note = thread_time() - ended


def calibrate() -> int:
    """Return how many rounds of the loop take this machine about 50 ms of CPU."""
    trial = 200_000
    took = []
    for _ in range(5):
        began = thread_time()
        _loop(trial)
        took.append(thread_time() - began)
    return round(trial * SECONDS / min(took))


def _loop(rounds: int) -> int:
    value = 1
    for step in range(rounds):
        value = (value * 31 + step) % 1_000_003
    return value
