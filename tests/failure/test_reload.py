"""`jobyard run --reload` while jobs come in, and a supervisor that is killed."""

import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.support.installed import Environment, Repository
from tests.support.processes import Program, answers, lives
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

TASKS: Final = """
import time

from jobyard import Payload, task


class Work(Payload):
    number: int


@task("shop.work")
def work(payload: Work) -> str:
    time.sleep(0.3)
    return "old"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Repository]:
    """A folder with one module of tasks, and this environment's engine."""
    (tmp_path / "shop_tasks.py").write_text(TASKS)
    settings = {"JOBYARD_TASKS__MODULES": "shop_tasks", "JOBYARD_WORKER__THREADS": "4"}
    shop = Repository(Environment(Path(sys.prefix)), tmp_path, settings)
    try:
        yield shop
    finally:
        shop.stop_everything()


def ask(shop: Repository, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    url, headers = f"http://127.0.0.1:{shop.port('API')}{path}", {"Content-Type": "application/json"}
    with urlopen(Request(url, data, headers), timeout=20) as response:
        return json.load(response)


class Producer(threading.Thread):
    """Hands jobs in until it is told to end; an API that is being restarted refuses some."""

    def __init__(self, shop: Repository) -> None:
        super().__init__(daemon=True)
        self._shop, self._is_ending = shop, threading.Event()
        self.accepted: list[str] = []

    def run(self) -> None:
        number = 0
        while not self._is_ending.wait(0.05):
            number += 1
            with suppress(OSError):
                self.accepted.append(ask(self._shop, "/v1/tasks/shop.work/jobs", {"number": number})["id"])

    def end(self) -> list[str]:
        self._is_ending.set()
        self.join(30)
        return self.accepted


def edit(shop: Repository, code: str) -> None:
    (shop.folder / "shop_tasks.py").write_text(code)


def wait_for_text(program: Program, text: str) -> None:
    wait_until(lambda: text in program.output(), 60, f"{text!r} in the log")


def wait_for_worker(program: Program, number: int) -> None:
    """Wait until the worker has been started so many times."""
    wait_until(
        lambda: len(re.findall(r"io@\S+ ready\.", program.output())) == number,
        60,
        f"worker {number} to start",
    )


def test_an_edit_is_run_by_new_processes_and_loses_no_job(shop: Repository) -> None:
    running = shop.start("jobyard", "run", "--reload", until="Ctrl-C")
    producer = Producer(shop)
    producer.start()
    wait_until(lambda: len(producer.accepted) > 20, 30, "jobs to come in")

    edit(shop, TASKS.replace('"old"', '"new"'))
    wait_for_text(running, "changed: shop_tasks.py")
    wait_for_worker(running, 2)
    known = len(producer.accepted)
    wait_until(lambda: len(producer.accepted) > known + 10, 30, "jobs that the new API accepts")

    edit(shop, "this is no Python")
    wait_for_text(running, "the old processes go on until the next edit")
    known = len(producer.accepted)
    wait_until(lambda: len(producer.accepted) > known + 10, 30, "jobs that the old processes accept")
    edit(shop, TASKS.replace('"old"', '"mended"'))
    wait_for_worker(running, 3)
    known = len(producer.accepted)
    wait_until(lambda: len(producer.accepted) > known + 5, 30, "jobs that the mended API accepts")

    accepted = producer.end()
    assert len(accepted) == len(set(accepted))
    wait_until(
        lambda: ask(shop, "/v1/jobs/count?status=succeeded")["jobs"] == len(accepted),
        60,
        "every job to succeed",
    )
    jobs = [ask(shop, f"/v1/jobs/{job_id}") for job_id in accepted]
    results = Counter(job["result"] for job in jobs)
    assert results.keys() == {"old", "new", "mended"}
    assert jobs[-1]["result"] == "mended"
    assert {job["attempt"] for job in jobs} == {1}, "a job that was handed back counts no attempt"
    assert running.stop() == 0


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_an_edited_setting_holds_for_the_new_processes(
    shop: Repository, is_elsewhere: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("settings") if is_elsewhere else shop.folder
    file = folder / ".env"
    file.write_text("JOBYARD_API__MAX_BULK_JOBS=5\n")
    shop.settings["JOBYARD_ENV_FILE"] = str(file) if is_elsewhere else ".env"
    running = shop.start("jobyard", "run", "--reload", until="Ctrl-C")
    file.write_text("JOBYARD_API__MAX_BULK_JOBS=1\nJOBYARD_WORKER__GRACE=7\n")
    wait_for_text(running, "changed: ")
    wait_for_worker(running, 2)
    wait_until(lambda: answers(shop.port("API")), 60, "the API to answer")
    with pytest.raises(HTTPError, match="422"):
        ask(shop, "/v1/tasks/shop.work/jobs/bulk", [{"number": 1}] * 2)
    [worker] = (
        process
        for process in psutil.Process(running.process.pid).children()
        if "threads" in process.cmdline()
    )
    assert "JOBYARD_WORKER__GRACE" not in worker.environ()
    assert running.stop() == 0


def test_a_supervisor_that_is_killed_leaves_no_process_behind(shop: Repository) -> None:
    running = shop.start("jobyard", "run", until="Ctrl-C")
    processes = psutil.Process(running.process.pid).children(recursive=True)
    assert len(processes) >= 5
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait(10)
    wait_until(lambda: not any(lives(process) for process in processes), 40, "every process to end")
    again = shop.start("jobyard", "run", until="Ctrl-C")
    assert again.stop() == 0


def test_a_process_that_ends_stops_everything_with_its_name_and_code(shop: Repository) -> None:
    running = shop.start("jobyard", "run", until="Ctrl-C")
    [beat] = (
        process
        for process in psutil.Process(running.process.pid).children(recursive=True)
        if process.cmdline()[-1] == "beat"
    )
    beat.kill()
    wait_until(lambda: running.process.poll() is not None, 40, "the supervisor to end")
    assert running.process.returncode != 0
    assert "beat has ended (code -9): every process is stopped" in running.output()


def test_jobs_wait_out_a_restart_of_the_supervisor(shop: Repository) -> None:
    running = shop.start("jobyard", "run", until="Ctrl-C")
    accepted = [ask(shop, "/v1/tasks/shop.work/jobs", {"number": number})["id"] for number in range(30)]
    sleep(0.2)
    assert running.stop() == 0
    shop.start("jobyard", "run", until="Ctrl-C")
    wait_until(
        lambda: ask(shop, "/v1/jobs/count?status=succeeded")["jobs"] == len(accepted),
        60,
        "every job to succeed",
    )
