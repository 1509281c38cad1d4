"""What is in the wheel, and what an installation of it says where an extra is missing."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.installed import Environment
from tests.support.processes import ROOT

pytestmark = pytest.mark.timeout(600)


def tracked_files(folder: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in listed.stdout.split() if (ROOT / name).exists()}


def test_the_wheel_holds_every_file_of_the_engine_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == tracked_files("jobyard")
    assert "jobyard/py.typed" in names
    assert any("/migrations/versions/" in name for name in names)


@pytest.mark.parametrize(
    ("command", "extras"),
    [
        ("run", "api,worker,redis,local"),
        ("api", "api,redis"),
        ("worker", "worker,redis"),
        ("beat", "worker,redis"),
        ("flower", "flower,redis"),
        ("keeper", "worker,redis"),
        ("migrate", "worker"),
        ("move-broker", "worker,redis"),
    ],
)
def test_a_command_without_its_extra_says_which_one_to_install(
    submitter: Environment, tmp_path: Path, command: str, extras: str
) -> None:
    ended = submitter.run("jobyard", command, cwd=tmp_path, settings={"JOBYARD_HOME": str(tmp_path)})
    assert (ended.returncode, ended.stderr) == (
        1,
        f"`jobyard {command}` needs more than is installed: pip install 'jobyard[{extras}]'\n",
    )


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("JOBYARD_BROKER__URL=redis://127.0.0.1:1/0", "redis"),
        ("JOBYARD_BROKER__URL=sentinel://127.0.0.1:1/0?master=m", "redis"),
        ("JOBYARD_BROKER__URL=sqs://?region=eu-central-1", "sqs"),
        ("JOBYARD_LEDGER__URL=postgresql://127.0.0.1:1/jobyard", "postgresql"),
    ],
)
def test_a_url_whose_client_is_not_installed_says_which_extra_has_it(
    submitter: Environment, tmp_path: Path, url: str, extra: str
) -> None:
    name, _, value = url.partition("=")
    (tmp_path / "shop.py").write_text(
        "from jobyard import Payload, task\n"
        "class Note(Payload): ...\n"
        "@task('shop.note')\n"
        "def note(payload: Note) -> None: ...\n"
        "note.delay(Note())\n"
    )
    with_client = {"JOBYARD_BROKER__URL": "amqp://127.0.0.1:1//"}  # Celery brings that of RabbitMQ along
    settings = {"JOBYARD_HOME": str(tmp_path)} | with_client | {name: value}
    ended = submitter.run("python", "shop.py", cwd=tmp_path, settings=settings)
    assert f"{name} needs more than is installed: pip install 'jobyard[{extra}]'" in ended.stderr
    assert ended.returncode == 1


def test_the_settings_can_be_shown_without_any_extra(submitter: Environment, tmp_path: Path) -> None:
    ended = submitter.run("jobyard", "config", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "JOBYARD_LEDGER__URL" in ended.stdout
