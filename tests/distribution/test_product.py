"""A product with packages `config`, `tasks` and `api` of its own, on an installed engine."""

import json
import subprocess
import sys
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.installed import Repository
from tests.support.processes import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)


def fetch(url: str, body: object = None, timeout: float = 20) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Prefer": "wait=15"}
    with urlopen(Request(url, data=data, headers=headers), timeout=timeout) as response:
        return json.load(response)


def start_everything(shop: Repository) -> str:
    """Start Jobyard's API and a worker of either kind; return the API's URL."""
    shop.start("jobyard", "worker", until=" ready.")
    shop.start("jobyard", "worker", "--kind", "prefork", "-c", "1", until=" ready.")
    shop.start("jobyard", "api", until="Uvicorn running")
    return f"http://127.0.0.1:{shop.port('API')}"


def test_its_tasks_run_on_queues_of_its_own_and_its_own_service_hands_them_in(shop: Repository) -> None:
    api = start_everything(shop)
    report = fetch(f"{api}/v1/tasks/report.write/jobs", {"year": 2026, "month": 11})
    assert (report["status"], report["queue"]) == ("succeeded", "reports")
    assert report["result"] == {"title": "2026-11", "orders": 1100}
    preview = fetch(f"{api}/v1/tasks/preview.draw/jobs", {"number": 7})
    assert (preview["status"], preview["queue"]) == ("succeeded", "gpu")

    port = free_port()
    shop.start("uvicorn", "api.app:app", "--port", str(port), until="Uvicorn running")
    job_id = fetch(f"http://127.0.0.1:{port}/years/2026/months/3/report", {})["job"]
    wait_until(lambda: fetch(f"{api}/v1/jobs/{job_id}")["status"] == "succeeded", 20, "the report")

    queues = {queue["name"]: queue for queue in fetch(f"{api}/v1/queues")}
    assert queues.keys() == {"default", "reports", "gpu"}
    assert (queues["reports"]["kind"], queues["gpu"]["kind"]) == ("threads", "prefork")
    assert all(queue["slots"] for queue in queues.values())
    assert fetch(f"{api}/readyz")["checks"] == {"ledger": "ok", "broker": "ok", "workers": "ok"}


def test_the_celery_command_works_in_it(shop: Repository) -> None:
    shop.start("celery", "-A", "jobyard", "worker", "-Q", "reports", "-c", "2", until=" ready.")
    pinged = shop.run("celery", "-A", "jobyard", "inspect", "ping", "-t", "5")
    assert pinged.returncode == 0, pinged.stderr
    ended = shop.run(
        "python",
        "-c",
        "from tasks.reports import Month, write_report\n"
        "print(write_report.delay(Month(year=2026, month=2)).get(timeout=20).orders)",
    )
    assert (ended.stdout, ended.returncode) == ("200\n", 0), ended.stderr
    shop.start("celery", "-A", "jobyard", "beat", until="beat: Starting")


def test_one_command_runs_everything_in_it(shop: Repository) -> None:
    shop.programs.pop().stop()  # `jobyard run` brings a broker of its own
    everything = shop.start("jobyard", "run", until="Ctrl-C")
    api = f"http://127.0.0.1:{shop.port('API')}"
    assert fetch(f"{api}/v1/tasks/preview.draw/jobs", {"number": 7})["status"] == "succeeded"
    assert everything.stop() == 0


def test_its_own_tests_run(shop: Repository) -> None:
    ended = shop.run("python", "-m", "pytest", "-q", "tests")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


def test_mypy_finds_nothing_in_it_and_checks_the_calls(shop: Repository) -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", shop.environment.python, "."]
    ended = subprocess.run(mypy, cwd=shop.folder, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout
    (shop.folder / "wrong.py").write_text(WRONG_CALLS)
    ended = subprocess.run(mypy, cwd=shop.folder, capture_output=True, text=True, timeout=300, check=False)
    assert ended.stdout.count("wrong.py") == len(WRONG_CALLS.splitlines()) - 2, ended.stdout


WRONG_CALLS = """\
from tasks.previews import Product, draw_preview
from tasks.reports import Month, write_report
write_report.delay(Product(number=1))
write_report.submit(Month(year=2026, month=1), priority="high")
number: int = draw_preview.delay(Product(number=1)).get()
"""


def test_pyright_finds_nothing_in_it_and_checks_the_calls(shop: Repository) -> None:
    pyright = ["pyright", "--pythonpath", shop.environment.python, "--outputjson", "."]
    command = [sys.executable, "-m", *pyright]
    ended = subprocess.run(command, cwd=shop.folder, capture_output=True, text=True, timeout=300, check=False)
    assert json.loads(ended.stdout)["generalDiagnostics"] == [], ended.stdout
    (shop.folder / "wrong.py").write_text(WRONG_CALLS)
    ended = subprocess.run(command, cwd=shop.folder, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads(ended.stdout)["generalDiagnostics"]
    assert {diagnostic["range"]["start"]["line"] for diagnostic in found} == {2, 3, 4}, ended.stdout


def test_its_containers_run_commands_that_there_are(
    shop: Repository,
) -> None:
    composed = yaml.safe_load((shop.folder / "docker-compose.yml").read_text())
    commands = [service["command"] for service in composed["services"].values() if "command" in service]
    for command in commands:
        if command[0] == "jobyard" and command[1] != "flower":  # which is not installed here
            helped = shop.run("jobyard", command[1], "--help")
            assert helped.returncode == 0, helped.stderr
    assert {"worker", "beat", "flower", "migrate"} <= {command[1] for command in commands}
