"""What the command says of a wrong call, and of a Python that is too old."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jobyard
from jobyard.cli.main import main
from tests.support.processes import ROOT


def old_python() -> str:
    """Return a Python 3.10; skips the test where there is none."""
    places = [str(path) for path in Path.home().glob(".pyenv/versions/3.10.*/bin/python")]
    for python in (*places, shutil.which("python3.10")):
        if python and subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("there is no Python 3.10 here")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["api", "--port", "1"], "unrecognized arguments: --port 1"),
        (["worker", "--kind", "gevent"], "argument --kind: invalid choice: 'gevent'"),
        (["worker", "-c", "many"], "argument -c/--concurrency: invalid int value: 'many'"),
    ],
)
def test_a_wrong_call_is_refused_with_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], fault: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert fault in capsys.readouterr().err


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("jobyard 0.")


def test_a_python_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobyard, "OLDEST_PYTHON", (4, 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is 3\."):
        main(["config"])
    with pytest.raises(ImportError, match=r"needs Python 3\.11"):
        jobyard.__getattr__("task")


@pytest.mark.parametrize("arguments", [["-m", "jobyard", "config"], ["-c", "from jobyard import task"]])
def test_an_old_python_that_finds_the_engine_is_told(arguments: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [old_python(), *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Jobyard needs Python 3.11 or newer, and this is 3.10." in ended.stderr.splitlines()[-1]


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    command = ["make", "run", f"PYTHON={old_python()}", f"VENV={tmp_path / 'venv'}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "Jobyard needs Python 3.11 or newer; say which with make PYTHON=python3.11" in ended.stderr


def test_output_that_nothing_reads_any_more_is_no_fault() -> None:
    command = f"{sys.executable} -m jobyard config | head -n 1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.startswith("JOBYARD_APP")
    assert ended.stderr == ""


def test_a_pipe_that_is_closed_from_the_beginning_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "jobyard", "config"],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert ended.stderr == b""
