"""The engine as users have it: built as a wheel, installed into environments outside of the checkout."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.children import start_child
from tests.support.processes import ROOT, Program, answers, free_port
from tests.support.waiting import wait_until

WHAT_A_WHEEL_IS_BUILT_FROM = ("jobyard", "pyproject.toml", "constraints.txt", "README.md")


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and the commands in it."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def python(self) -> str:
        return str(self.bin / "python")

    def variables(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a process that has nothing of this checkout's."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JOBYARD_", "PYTHON")) and name != "VIRTUAL_ENV"
        }
        return kept | {"PATH": f"{self.bin}:{os.environ['PATH']}", "JOBYARD_ENV_FILE": ""} | dict(settings)

    def run(
        self, *command: str, cwd: Path, settings: Mapping[str, str] | None = None, seconds: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run one of its commands to its end."""
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=cwd,
            env=self.variables(settings or {}),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@dataclass
class Repository:
    """A repository of a user's own, and the processes that run in it."""

    environment: Environment
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        ports = {f"JOBYARD_{name}__PORT": str(free_port()) for name in ("VALKEY", "API", "FLOWER")}
        self.settings = {"JOBYARD_HOME": str(self.folder / "var")} | ports | self.settings

    def port(self, name: str) -> int:
        return int(self.settings[f"JOBYARD_{name}__PORT"])

    def run(self, *command: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return self.environment.run(*command, cwd=self.folder, settings=self.settings, seconds=seconds)

    def start(self, *command: str, until: str = "", listening_at: int = 0) -> Program:
        """Start a command in a process group of its own; wait until it has written a text, or listens."""
        name = "-".join(Path(part).name for part in command[:2])
        log = self.folder / f"{name}-{len(self.programs)}.log"
        with log.open("wb") as output:
            process = start_child(
                [str(self.environment.bin / command[0]), *command[1:]],
                env=self.environment.variables(self.settings | {"PYTHONUNBUFFERED": "1"}),
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        program = Program(name, process, log)
        self.programs.append(program)

        def is_ready() -> bool:
            return answers(listening_at) if listening_at else until in program.output()

        wait_until(lambda: is_ready() or process.poll() is not None, 60, f"{name} to be ready")
        assert process.poll() is None, program.output()
        return program

    def stop_everything(self) -> None:
        """End what still runs, the first that was started last."""
        for program in reversed(self.programs):
            program.stop()


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy: what an earlier build left in the checkout would get into it."""
    source = folder / "source"
    for name in WHAT_A_WHEEL_IS_BUILT_FROM:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    _succeed([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)])
    [wheel] = folder.glob("*.whl")
    return wheel


def install(folder: Path, *requirements: str, constraints: Path = ROOT / "constraints.txt") -> Environment:
    """Make a virtual environment with these requirements in it, at the versions of the constraints."""
    _succeed([sys.executable, "-m", "venv", str(folder)])
    environment = Environment(folder)
    pip = [environment.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _succeed([*pip, "--constraint", str(constraints), *requirements])
    return environment


def _succeed(command: Sequence[str]) -> None:
    # Not with this checkout on PYTHONPATH: pip would take the engine for installed already.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, cwd="/", env=environment
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@contextmanager
def made_once(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """Give a folder that all processes of a test run share, and whether it is still to be filled."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_done = folder / "done"
        is_new = not is_done.exists()
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder, is_new
        is_done.touch()
