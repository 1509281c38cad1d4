"""The benchmarks measure what they say and leave nothing behind; how fast anything is, is not asked here."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from bench.tools.figures import svg
from tests.support.processes import ROOT, lives
from tests.support.rabbitmq_node import require_rabbitmq
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


@pytest.mark.parametrize("module", ["bench.drain", "bench.backlog", "bench.ledger"])
@pytest.mark.parametrize("rounds", ["0", "-1", "x"])
def test_a_number_of_rounds_that_gives_no_median_is_refused(tmp_path: Path, module: str, rounds: str) -> None:
    run = bench(tmp_path, module, f"--rounds={rounds}")
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    assert f"argument --rounds: '{rounds}' is no whole number from 1 on" in output


def test_what_was_answered_with_a_202_is_on_record_on_both_sides(tmp_path: Path) -> None:
    run = bench(tmp_path, "bench.accept", "--seconds", "1", "--rounds", "1", "--load", "python", *OURS)
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    assert len(re.findall(r"\| (?:none|\d+ slow) +\| [\d,]+ of [\d,]+ +\|", output)) == 2
    assert [turn["on_record"] - turn["answered"] for turn in turns_of(tmp_path)] == [0, 0]


def test_what_is_enqueued_from_code_and_by_http_is_on_record(tmp_path: Path) -> None:
    count = ("--jobs", "20", "--bulk-jobs", "200", "--rounds", "1")
    run = bench(tmp_path, "bench.enqueue", *count, *OURS)
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    assert [turn["on_record"] for turn in turns_of(tmp_path)] == [420] * 3


def test_a_latency_is_that_of_jobs_that_ran_once(tmp_path: Path) -> None:
    count = ("--jobs", "20", "--rounds", "1")
    run = bench(tmp_path, "bench.latency", *count, "--only", "threads, submit", "--only", "Celery")
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    # Ours, and Celery's as it is, over HTTP and with everything on disk.
    turns = turns_of(tmp_path)
    assert [(turn["runs"], turn["distinct"]) for turn in turns] == [(20, 20)] * 4
    assert [0 < turn["p50_ms"] <= turn["p99_ms"] for turn in turns] == [True] * 4


@pytest.mark.rabbitmq
def test_a_yard_on_rabbitmq_accepts_drains_and_begins_jobs(tmp_path: Path) -> None:
    require_rabbitmq()
    few = ("--seconds", "1", "--jobs", "50", "--one-by-one", "20", "--rounds", "1", "--load", "python")
    run = bench(tmp_path, "bench.brokers", *few, "--only", "classic")
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    assert output.count("yes: 50 runs, 50 outcomes") == 1
    turn: Any = turns_of(tmp_path)[0]
    assert turn["accepted"]["on_record"] == turn["accepted"]["answered"] > 0
    assert turn["latency"]["runs"] == turn["latency"]["distinct"] == 20


def test_jobs_that_wait_end_once_and_their_workers_memory_is_seen(tmp_path: Path) -> None:
    run = bench(tmp_path, "bench.waiting", "--jobs", "60", "--rounds", "1", *OURS)
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    assert output.count("yes: 60 runs, 60 outcomes") == 2
    assert [turn["peak_mib"] > 20 for turn in turns_of(tmp_path)] == [True] * 2


def test_jobs_that_compute_are_all_run_by_the_workers_and_by_a_pool(tmp_path: Path) -> None:
    run = bench(
        tmp_path, "bench.computing", "--jobs", "10", "--rounds", "1", "--only", "Jobyard", "--only", "Pool"
    )
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    turns = turns_of(tmp_path)
    assert [(turn["runs"], turn["distinct"]) for turn in turns] == [(10, 10)] * 2
    assert [turn["whole_cpu_seconds"] > turn["jobs_cpu_seconds"] > 0 for turn in turns] == [True] * 2


def test_a_pool_and_the_workers_make_the_same_pictures(tmp_path: Path) -> None:
    run = bench(
        *(tmp_path, "bench.converting", "--pictures", "6", "--rounds", "1"),
        *("--only", "Jobyard", "--only", "Pool"),
    )
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    assert "All made the same pictures, by their size: yes" in output
    turns = turns_of(tmp_path)
    assert [turn["pictures"] for turn in turns] == [6] * 2
    assert [min(turn["seconds"], turn["made_bytes"], turn["cpu_seconds"]) > 0 for turn in turns] == [True] * 2


def test_jobs_that_fall_due_together_are_all_published_and_each_once(tmp_path: Path) -> None:
    run = bench(tmp_path, "bench.due", "--jobs", "300", "--rounds", "1", "--only", "SQLite")
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    turns = turns_of(tmp_path)
    assert [(turn["named"], turn["distinct"]) for turn in turns] == [(300, 300)] * 2
    assert [0 < turn["first"] <= turn["last"] for turn in turns] == [True] * 2


def test_a_long_queue_and_a_short_one_take_turns_and_their_yards_are_weighed(tmp_path: Path) -> None:
    count = ("--jobs", "1500", "--drained", "200", "--rounds", "1", "--seconds", "1")
    run = bench(tmp_path, "bench.backlog", *count, "--load", "python", "--only", "SQLite")
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    [path] = tmp_path.iterdir()
    [pair] = json.loads(path.read_text())["figures"].values()
    [few], [many] = pair["few"], pair["many"]
    assert [turn[what] > 0 for turn in (few, many) for what in ("accept", "drain")] == [True] * 4
    on_disk = {part["name"]: part["disk"] for part in many["parts"] if part["disk"]}
    in_memory = {part["name"]: part["memory"] for part in many["parts"] if part["memory"]}
    assert set(on_disk) == {"Valkey", "SQLite's file"}
    assert set(in_memory) == {"API", "worker, threads", "worker, prefork", "Valkey"}


def test_a_peer_that_cannot_be_installed_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "BENCH_VENVS": str(tmp_path / "venvs")}
    peers = ("--only", "Celery, solo", "--only", "huey", "--only", "ardiq")
    run = bench(
        tmp_path / "results",
        *("bench.drain", "--jobs", "20", "--rounds", "1", *peers),
        extra=nowhere | {"BENCH_PYTHON313": "no-such-python"},
    )
    output, _ = run.communicate(timeout=110)
    assert run.returncode == 0, output
    left_out = output.partition("Left out:")[2]
    assert "huey, 2 processes: it cannot be installed: " in left_out
    assert "no-such-python (BENCH_PYTHON313) is none" in left_out or sys.version_info >= (3, 12)
    assert output.count("yes: 20 runs, 20 outcomes") == 1


def test_a_figure_has_a_bar_for_each_contender_and_escapes_what_they_are_called() -> None:
    text = svg("Drain", "jobs/s", {"Jobyard": [900.0, 1000.0, 1100.0], "A & <B>": [10.0]})
    root = ElementTree.fromstring(text)
    bars = [element for element in root if element.tag.endswith("rect")]
    assert [bar.get("class") for bar in bars] == ["ours", "theirs"]
    assert "A & <B>" in [element.text for element in root]


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
