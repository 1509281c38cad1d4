"""The benchmarks measure what they say and leave nothing behind; how fast anything is, is not asked here."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.support.processes import ROOT
from tests.support.waiting import wait_until

# No peer is installed for a test: these need nothing that is not here.
OURS = ("--only", "Jobyard", "--only", "Celery")


def bench(results: Path, *arguments: str, extra: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
        | {"BENCH_RESULTS": str(results)}
        | (extra or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lives(process: psutil.Process) -> bool:
    """Tell whether a process does anything still; whoever adopts a dead one may take a moment to notice."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def turns_of(results: Path) -> list[dict[str, float]]:
    """Return the turns in the one file that a run has left."""
    [path] = results.iterdir()
    figures: dict[str, list[dict[str, float]]] = json.loads(path.read_text())["figures"]
    return [turn for turns in figures.values() for turn in turns]


def test_a_drain_runs_every_job_once_on_every_side(tmp_path: Path) -> None:
    run = bench(tmp_path, "bench.drain", "--jobs", "100", "--rounds", "1", *OURS)
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    assert output.count("yes: 100 runs, 100 outcomes") == 4
    assert [turn["rate"] > 0 for turn in turns_of(tmp_path)] == [True] * 4


def test_what_was_answered_with_a_202_is_on_record_on_both_sides(tmp_path: Path) -> None:
    run = bench(tmp_path, "bench.accept", "--seconds", "1", "--rounds", "1", "--load", "python", *OURS)
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    assert len(re.findall(r"\| (?:none|\d+ slow) +\| [\d,]+ of [\d,]+ +\|", output)) == 2
    assert [turn["on_record"] - turn["answered"] for turn in turns_of(tmp_path)] == [0, 0]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_benchmark_that_is_ended_takes_its_processes_with_it(
    tmp_path: Path, ending: signal.Signals
) -> None:
    run = bench(tmp_path, "bench.accept", "--load", "python", *OURS)
    itself = psutil.Process(run.pid)
    try:
        # The broker, the API and the load; what made the ledger is gone by then.
        wait_until(lambda: len(itself.children(recursive=True)) >= 3, 60, "the first load")
        started = itself.children(recursive=True)
        run.send_signal(ending)
        output, _ = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode == 128 + ending, output
    assert [process for process in started if lives(process)] == []
    assert list(tmp_path.iterdir()) == []
