"""`make run` as a person types it, in a folder and on ports of its own."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import Program, YardProcesses
from tests.support.waiting import wait_until


class WholeYard(YardProcesses):
    """A yard that `make run` starts; its processes are found by the folder that they all know."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.home.mkdir(parents=True, exist_ok=True)

    def make_run(self) -> Program:
        return self.start_command("make-run", "make", "run")

    def open(self) -> Program:
        """Start everything and wait for the welcome."""
        program = self.make_run()
        wait_until(
            lambda: "Ctrl-C" in program.output() or program.process.poll() is not None, 60, "a welcome"
        )
        assert program.process.poll() is None, program.output()
        return program

    def process_ids(self) -> list[int]:
        """Return every process that has this yard's folder in its environment, or works there.

        Valkey does the latter, and writes its title over the former.
        """
        mark = f"JOBYARD_HOME={self.home}\0".encode()
        return [
            int(entry.name)
            for entry in Path("/proc").glob("[0-9]*")
            if mark in _environment(entry) or _folder(entry).is_relative_to(self.home)
        ]

    def kill_all(self) -> None:
        """End every process of the yard at once, as a power cut would."""
        while process_ids := self.process_ids():
            for process_id in process_ids:
                try:
                    os.kill(process_id, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            for program in self.programs:
                program.process.poll()  # a killed child of ours stays in /proc until it is waited for


@contextmanager
def whole_yard(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[WholeYard]:
    """Make a yard in a folder; nothing is started, and nothing outlives it."""
    yard = WholeYard(home, dict(settings or {}))
    yield yard
    yard.kill_all()


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes() + b"\0"
    except OSError:
        return b""


def _folder(process: Path) -> Path:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return Path("/")


def printed_commands(welcome: str) -> list[str]:
    """Return the commands of the welcome, without the prefix of each line of the log."""
    return re.findall(r"\| +(?:How each of them ended: +)?(curl .*)", welcome)


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
