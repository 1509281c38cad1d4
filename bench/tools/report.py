"""How figures are shown and kept: a Markdown table on the screen, JSON in `bench/results/`."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from time import perf_counter, sleep
from typing import Any

from bench.tools.machine import RESULTS
from jobyard.local.valkey import find_server

BUSY = 0.1


def spread(values: Iterable[float], digits: int = 0) -> str:
    """Return `median [least-greatest]`."""
    found = list(values)
    middle, least, most = (f"{value:,.{digits}f}" for value in (median(found), min(found), max(found)))
    return f"{middle} [{least}-{most}]"


def number_of_rounds(text: str) -> int:
    """Read how many rounds there are to be, for `argparse`: of none there is no median."""
    if not (text.isdecimal() and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned, so that a terminal shows it as well."""
    lines = [list(head), ["-" * 3] * len(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


@dataclass(frozen=True)
class Conditions:
    """What the figures depend on besides the code, as it was before the first turn."""

    cores: int
    system: str
    versions: dict[str, str]
    busy_before: float | None
    synced_write_ms: float

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        lines = [
            f"{self.cores} cores, {self.system}; a write that is synced to disk takes "
            f"{self.synced_write_ms:.2f} ms.",
            numbers,
        ]
        if self.busy_before is not None and self.busy_before > BUSY:
            share = f"{self.busy_before:.0%}"
            lines.append(f"THE MACHINE WAS {share} BUSY WITH OTHER WORK before the start: believe no figure.")
        return "\n".join(lines)


def look_around() -> Conditions:
    """Take note of the machine before it is loaded."""
    server = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True).stdout
    packages = ("celery", "kombu", "redis", "fastapi", "uvicorn", "SQLAlchemy")
    return Conditions(
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        versions={
            "Python": platform.python_version(),
            "SQLite": sqlite3.sqlite_version,
            **{package: version(package) for package in packages},
            "broker": next((word[2:] for word in server.split() if word.startswith("v=")), "?"),
        },
        busy_before=_busy_share(),
        synced_write_ms=_synced_write_seconds() * 1000,
    )


def _busy_share(seconds: float = 1) -> float | None:
    stat = Path("/proc/stat")
    if not stat.exists():
        return None

    def idle_and_all() -> tuple[int, int]:
        ticks = [int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:]]
        return ticks[3] + ticks[4], sum(ticks)

    idle, whole = idle_and_all()
    sleep(seconds)
    idle_then, whole_then = idle_and_all()
    return 1 - (idle_then - idle) / max(1, whole_then - whole)


def _synced_write_seconds(times: int = 100) -> float:
    # A commit costs at least one of these; that is what differs most from one machine to the next.
    RESULTS.mkdir(parents=True, exist_ok=True)
    took = []
    with TemporaryFile(dir=RESULTS) as file:
        for _ in range(times):
            os.write(file.fileno(), bytes(4096))
            began = perf_counter()
            os.fsync(file.fileno())
            took.append(perf_counter() - began)
    return median(took)


def save(name: str, conditions: Conditions, figures: Any) -> None:
    """Keep the figures as `bench/results/NAME-TIME.json`, with what they depend on."""
    now = datetime.now(UTC)
    path = RESULTS / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    kept = {"at": now.isoformat(), "conditions": asdict(conditions), "figures": figures}
    path.write_text(json.dumps(kept, indent=1))
    print(f"\nAs JSON: {path}")


def tell(line: str) -> None:
    """Say how far it is, to whoever waits and not into the report."""
    print(line, file=sys.stderr, flush=True)
