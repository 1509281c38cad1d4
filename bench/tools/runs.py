"""The record of every run of a job, so that runs can be timed and counted the same on every side.

The file named in `BENCH_RUNS_FILE` gets 16 bytes a run: when it began (CLOCK_MONOTONIC, which is one for all
processes of a machine) and the job's number. Writing them takes about a microsecond. `BENCH_SENT_FILE` gets
the same for the beginning of a call that enqueues a job. `peers/runs.cjs` writes both from Node.
"""

import os
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from time import monotonic

VARIABLE = "BENCH_RUNS_FILE"
SENT_VARIABLE = "BENCH_SENT_FILE"
CPU_VARIABLE = "BENCH_CPU_FILE"
_RECORD = struct.Struct("<dQ")


def note_run(number: int) -> None:
    """Note that job `number` runs now; does nothing where nobody asked for a record."""
    _note(VARIABLE, number)


def note_sent(number: int) -> None:
    """Note that job `number` is about to be enqueued."""
    _note(SENT_VARIABLE, number)


def note_cpu(seconds: float) -> None:
    """Note what one job has computed; it stands in microseconds where the number stands elsewhere."""
    _note(CPU_VARIABLE, round(seconds * 1e6))


def _note(variable: str, number: int) -> None:
    handle = _open(variable)
    if handle is not None:
        os.write(handle, _RECORD.pack(monotonic(), number))


@cache
def _open(variable: str) -> int | None:
    # O_APPEND: lines of many processes and threads never overwrite each other.
    path = os.environ.get(variable)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if path else None


def count_runs(path: Path) -> int:
    """Return how many runs are noted, without reading them."""
    return path.stat().st_size // _RECORD.size if path.exists() else 0


def read_runs(path: Path) -> Iterator[tuple[float, int]]:
    """Yield (seconds, job number) of every run."""
    return _RECORD.iter_unpack(path.read_bytes())


def rate_in_the_middle(path: Path) -> float:
    """Return the runs per second between the 10 % and the 90 % mark: no start-up, no last stragglers."""
    times = sorted(seconds for seconds, _ in read_runs(path))
    first, last = len(times) // 10, len(times) * 9 // 10
    return (last - first) / (times[last] - times[first])
