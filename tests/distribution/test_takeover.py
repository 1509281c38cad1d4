"""A ledger and a broker of the version before are taken over while they run: no job is lost or runs twice.

The version before is the last commit with the old layout, run from its files in an environment of its own.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest

from tests.support.installed import Environment, Repository, install, made_once
from tests.support.postgresql import new_database
from tests.support.processes import ROOT, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(900)

VERSION_BEFORE: Final = "843b765"
TASKS: Final = """
import os
import time

from {module} import Payload, task


class Note(Payload):
    text: str
    journal: str
    seconds: float = 0


@task("shop.note", max_retries=0)
def note(payload: Note) -> str:
    with open(payload.journal, "a") as journal:
        journal.write(payload.text + "\\n")
    if payload.text == "fail" and not os.path.exists(payload.journal + ".mended"):
        raise ValueError("not mended yet")
    time.sleep(payload.seconds)
    return payload.text
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """The version before, with its dependencies at the versions that it had."""
    if _git("cat-file", "-e", VERSION_BEFORE).returncode != 0:
        message = f"this clone is shallow and lacks {VERSION_BEFORE}: git fetch --unshallow"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with made_once(tmp_path_factory, "before") as (folder, is_new):
        code, environment = folder / "code", Environment(folder / "venv")
        if is_new:
            code.mkdir()
            archive = subprocess.run(
                ["git", "archive", VERSION_BEFORE], cwd=ROOT, capture_output=True, check=True
            )
            subprocess.run(["tar", "-x", "-C", str(code)], input=archive.stdout, check=True)
            install(folder / "venv", str(code), constraints=code / "constraints.txt")
    return environment, code


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def both(
    request: pytest.FixtureRequest, product: Environment, before: tuple[Environment, Path], tmp_path: Path
) -> Iterator[tuple[Repository, Repository]]:
    """The old version and the new one on the same ledger, broker and tasks."""
    environment, code = before
    for module, folder in (("tasks.payload", "old"), ("jobyard", "new")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shop_tasks.py").write_text(TASKS.format(module=module))
    old_tasks = tmp_path / "old" / "shop_tasks.py"
    old_tasks.write_text(
        old_tasks.read_text().replace(
            "from tasks.payload import Payload, task",
            "from tasks.base import task\nfrom tasks.payload import Payload",
        )
    )
    shared = {
        "JOBYARD_HOME": str(tmp_path / "home"),
        "JOBYARD_TASKS__MODULES": "shop_tasks",
        "JOBYARD_VALKEY__PORT": str(free_port()),
        "JOBYARD_WORKER__LEASE": "5",
        "JOBYARD_KEEPER__INTERVAL": "0.3",
        "JOBYARD_LEDGER__INLINE_BYTES": "1024",
    }
    with new_database() as url:
        if request.param == "postgresql":
            shared["JOBYARD_LEDGER__URL"] = url
        old = Repository(environment, code, shared | {"PYTHONPATH": f"{code}:{tmp_path / 'old'}"})
        new = Repository(product, tmp_path / "new", shared)
        try:
            yield old, new
        finally:
            new.stop_everything()
            old.stop_everything()


def ask(
    yard: Repository, path: str, body: object = None, *, method: str | None = None, **headers: str
) -> Any:
    url = f"http://127.0.0.1:{yard.port('API')}{path}"
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    with urlopen(Request(url, data=data, headers=sent, method=method), timeout=20) as response:
        return json.load(response)


class Journal:
    """What the jobs wrote, and the jobs that were handed in, by their texts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.jobs: dict[str, str] = {}

    def hand_in(self, yard: Repository, text: str, seconds: float = 0, **headers: str) -> str:
        body = {"text": text, "journal": str(self.path), "seconds": seconds}
        answer = ask(yard, "/v1/tasks/shop.note/jobs" + headers.pop("query", ""), body, **headers)
        return self.jobs.setdefault(text, answer["id"])

    def runs(self, text: str) -> int:
        return self.path.read_text().splitlines().count(text) if self.path.exists() else 0


def test_a_running_installation_is_taken_over_and_every_job_ends_once(
    both: tuple[Repository, Repository], tmp_path: Path
) -> None:
    old, new = both
    journal = Journal(tmp_path / "journal")
    assert old.run("python", "-m", "jobs.migrate").returncode == 0
    old.start("python", "-m", "yard.valkey", listening_at=old.port("VALKEY"))
    old.start("python", "-m", "api", listening_at=old.port("API"))
    worker_command = ("celery", "-q", "-A", "tasks.app", "worker", "-P", "threads", "-c", "4")
    old_worker = old.start(*worker_command, "-Q", "default", "-n", "old@%h", until=" ready.")

    done = journal.hand_in(old, "done", Idempotency_Key="first")
    large = journal.hand_in(old, "large " + "x" * 3000)
    failed = journal.hand_in(old, "fail")
    later = journal.hand_in(old, "later", query="?delay=8")
    wait_until(lambda: status(old, done, large) == {"succeeded"}, 20, "the first jobs")
    wait_until(lambda: status(old, failed) == {"dead"}, 20, "the dead letter")
    running = journal.hand_in(old, "running", seconds=3)
    wait_until(lambda: journal.runs("running") == 1, 20, "the long job to begin")

    # The new version begins beside the old one, which goes on.
    migrated = new.run("jobyard", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    new.start("jobyard", "api", until="Uvicorn running")
    new.start("jobyard", "worker", "-n", "new@%h", until=" ready.")
    for number in range(20):
        journal.hand_in(old if number % 2 else new, f"beside {number}")
    assert journal.hand_in(new, "done", Idempotency_Key="first") == done
    assert ask(new, f"/v1/jobs/{large}")["result"] == "large " + "x" * 3000

    wait_until(lambda: status(new, running) == {"succeeded"}, 20, "the job that ran meanwhile")

    # The old worker is killed in the middle of a job, and the old API is stopped.
    lost = journal.hand_in(old, "lost", seconds=4)
    wait_until(lambda: journal.runs("lost") == 1, 20, "the job that is lost")
    worker_of_lost = ask(new, f"/v1/jobs/{lost}")["worker"]
    old_worker.kill(signal.SIGKILL)
    old.programs[1].stop()

    (tmp_path / "journal.mended").touch()
    ask(new, f"/v1/jobs/{failed}/replay", {}, method="POST")
    wait_until(lambda: status(new, *journal.jobs.values()) == {"succeeded"}, 60, "every job to succeed")
    twice = {"fail": 2} | ({"lost": 2} if worker_of_lost.startswith("old@") else {})
    assert {text: journal.runs(text) for text in journal.jobs} == dict.fromkeys(journal.jobs, 1) | twice
    assert ask(new, f"/v1/jobs/{running}")["attempt"] == 1
    assert ask(new, f"/v1/jobs/{later}")["status"] == "succeeded"


def status(yard: Repository, *job_ids: str) -> set[str]:
    return {ask(yard, f"/v1/jobs/{job_id}")["status"] for job_id in job_ids}
