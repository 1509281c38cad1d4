"""The environments of the peers, under `bench/.venvs`: each is made when it is first asked for, and kept.

What cannot be installed raises `LeftOutError` with a sentence; its row is left out, and the others go on.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bench.peers.versions import NODE, PYTHON, Pins
from bench.tools.machine import ROOT

VENVS = Path(os.environ.get("BENCH_VENVS", ROOT / "bench" / ".venvs"))
OTHER_PYTHON = "BENCH_PYTHON313"
LONGEST_INSTALLATION_SECONDS = 300


class LeftOutError(Exception):
    """A contender that cannot take part; the message is the sentence that the report prints."""


@cache
def python_environment(name: str) -> Path:
    """Return the folder of programs of this peer's own virtual environment, installed if it is not yet."""
    pins, folder = PYTHON[name], VENVS / name
    if not _is_ready(folder, pins):
        shutil.rmtree(folder, ignore_errors=True)
        _run([_interpreter(pins.oldest_python), "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", *pins.packages])
        _mark_ready(folder, pins)
    return folder / "bin"


@cache
def node_environment() -> Path:
    """Return the `node_modules` of the peers that run on Node."""
    folder = VENVS / "node"
    if not all(_runs([program, "--version"]) for program in ("node", "npm")):
        raise LeftOutError("there is no Node with npm on the PATH")
    if not _is_ready(folder, NODE):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run(["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", *NODE.packages])
        _mark_ready(folder, NODE)
    return folder / "node_modules"


def _interpreter(oldest: tuple[int, int]) -> str:
    if sys.version_info >= oldest:
        return sys.executable
    wanted = ".".join(map(str, oldest))
    named = os.environ.get(OTHER_PYTHON)
    for program in [named] if named else ["python3.14", "python3.13", "python3.12"]:
        # A shim may bear the name of a Python that is not there: so it is asked, and not looked up.
        if _runs([program, "-c", f"import sys; sys.exit(sys.version_info < {oldest})"]):
            return program
    where = f"{named} ({OTHER_PYTHON}) is none" if named else f"none is on the PATH or in {OTHER_PYTHON}"
    raise LeftOutError(f"it needs Python {wanted} or newer, and {where}")


def _runs(line: Sequence[str]) -> bool:
    try:
        return subprocess.run(line, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(line: Sequence[str]) -> None:
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=LONGEST_INSTALLATION_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LeftOutError(f"it cannot be installed: {error}") from error
    if done.returncode:
        said = [text for text in (done.stderr or done.stdout).splitlines() if text.strip()]
        raise LeftOutError(f"it cannot be installed: {said[-1].strip() if said else 'nothing was said'}")


def _is_ready(folder: Path, pins: Pins) -> bool:
    mark = folder / ".installed"
    return mark.exists() and mark.read_text() == "\n".join(pins.packages)


def _mark_ready(folder: Path, pins: Pins) -> None:
    (folder / ".installed").write_text("\n".join(pins.packages))
