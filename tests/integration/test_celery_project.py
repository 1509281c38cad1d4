"""A project whose Celery application became a `Jobyard`, started by Celery's commands and by Jobyard's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.processes import ROOT, Program, YardProcesses, free_port
from tests.support.waiting import wait_until

FILES = {
    "shop/__init__.py": "",
    "shop/celery.py": """
from jobyard import Jobyard

app = Jobyard("shop")
app.config_from_object("shop.celeryconfig")
app.autodiscover_tasks(["shop.orders", "shop.mails"])


@app.on_after_configure.connect
def plan(sender, **kwargs):
    sender.add_periodic_task(1.0, note.s("periodic"), name="periodic")


@app.task
def note(word):
    with open("journal", "a") as journal:
        print(word, file=journal)
    return word
""",
    "shop/celeryconfig.py": """
def by_size(name, args, kwargs, options, task=None, **kw):
    return "large" if len(kwargs.get("prices", ())) > 2 else None


task_queues = ["large"]
task_routes = [by_size, {"shop.orders.*": {"queue": "orders"}}]
task_default_queue = "usual"
task_acks_late = True
worker_concurrency = 3
worker_max_tasks_per_child = 5
beat_schedule = {
    "scheduled": {"task": "shop.celery.note", "schedule": 1.0, "args": ("scheduled",)},
}
""",
    "shop/orders/__init__.py": "",
    "shop/orders/tasks.py": """
import os
from jobyard import shared_task


@shared_task(bind=True)
def total(self, prices, discount=0):
    return [sum(prices) - discount, os.getpid()]
""",
    "shop/mails/__init__.py": "",
}


@dataclass
class Project:
    """The project's folder, and the settings of its processes."""

    folder: Path
    settings: dict[str, str]

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBYARD_")}
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        return inherited | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | self.settings | more

    def start(self, *arguments: str, **more: str) -> Program:
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.folder,
                env=self.environment(**more),
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Program(arguments[0], process, log)

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def journal(self) -> set[str]:
        path = self.folder / "journal"
        return set(path.read_text().split()) if path.exists() else set()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, yard: YardProcesses) -> Project:
    folder = tmp_path_factory.mktemp("shop")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    settings = {
        "JOBYARD_HOME": str(folder / "var"),
        "JOBYARD_ENV_FILE": "",
        "JOBYARD_BROKER__URL": yard.valkey_url,
        "JOBYARD_REDIS__PREFIX": "shop-",
        "JOBYARD_KEEPER__INTERVAL": "0.2",
    }
    project = Project(folder, settings)
    done = project.run("-m", "jobyard", "migrate")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture(scope="module")
def started_by_celery(project: Project) -> Iterator[Program]:
    worker = project.start(
        "celery", "-A", "shop", "worker", "-P", "prefork", "-c", "1", "-Q", "celery,usual,orders"
    )
    wait_until(lambda: " ready." in worker.output() or worker.process.poll() is not None, 40, "a worker")
    yield worker
    worker.kill()


def test_celerys_worker_runs_its_jobs_in_children_that_are_replaced(
    project: Project, started_by_celery: Program
) -> None:
    code = (
        "from shop.orders.tasks import total\n"
        "import shop.celery, json\n"
        "print(json.dumps([total.delay([1, n], discount=1).get(timeout=30) for n in range(6)]))"
    )
    done = project.run("-c", code)
    assert done.returncode == 0, done.stderr + started_by_celery.output()
    results = json.loads(done.stdout.splitlines()[-1])
    assert [total for total, _ in results] == list(range(6))
    assert len({process for _, process in results}) > 1
    assert "settings of Celery's that mean nothing here" in started_by_celery.output()


def test_celerys_other_commands_find_it(project: Project, started_by_celery: Program) -> None:
    registered = project.run("-m", "celery", "-A", "shop", "inspect", "registered")
    assert "shop.orders.tasks.total" in registered.stdout, registered.stderr
    called = project.run("-m", "celery", "-A", "shop", "call", "shop.orders.tasks.total", "--args", "[[5]]")
    assert called.returncode == 0, called.stderr
    code = f"import shop.celery as c; print(c.app.AsyncResult({called.stdout.strip()!r}).get(timeout=30)[0])"
    done = project.run("-c", code)
    assert done.stdout.strip() == "5", called.stdout + done.stderr + started_by_celery.output()


def test_celerys_beat_runs_schedules_and_periodic_tasks(project: Project, started_by_celery: Program) -> None:
    beat = project.start("celery", "-A", "shop", "beat")
    try:
        wait_until(lambda: project.journal() == {"scheduled", "periodic"}, 30, "both schedules to run")
    except AssertionError as error:
        error.add_note(beat.output() + started_by_celery.output())
        raise
    finally:
        beat.stop()


@pytest.mark.parametrize("setting", ["JOBYARD_APP", "JOBYARD_TASKS__MODULES"])
def test_the_api_and_a_worker_of_jobyard_find_it_by_a_setting(project: Project, setting: str) -> None:
    port = free_port()
    named = {setting: "shop.celery", "JOBYARD_API__PORT": str(port)}
    api = project.start("jobyard", "api", **named)
    worker = project.start("jobyard", "worker", "-n", f"{setting}@%h", **named)
    try:
        wait_until(lambda: " ready." in worker.output(), 40, "a worker")
        wait_until(lambda: "running on" in api.output(), 40, "the API")
        url = f"http://127.0.0.1:{port}/v1/tasks/shop.orders.tasks.total/jobs"
        for prices, queue in [([3, 4], "orders"), ([3, 4, 5], "large")]:
            answer = httpx.post(url, json={"prices": prices}, headers={"Prefer": "wait=20"}, timeout=30)
            assert answer.json()["result"][0] == sum(prices), answer.text
            assert answer.json()["queue"] == queue
        plain = httpx.post(url, json={"prices": [1, 2, 3]}, timeout=30)
        assert plain.json()["queue"] == "large"
        workers = httpx.get(f"http://127.0.0.1:{port}/v1/workers", timeout=30).json()
        [own] = [each for each in workers if each["name"].startswith(f"{setting}@")]
        assert own["concurrency"] == 3
    except BaseException as error:
        error.add_note(api.output() + worker.output())
        raise
    finally:
        api.kill()
        worker.kill()


def test_without_a_setting_the_error_says_which(project: Project) -> None:
    done = project.run("-m", "jobyard", "worker", "-Q", "orders")
    assert done.returncode == 1
    assert "JOBYARD_APP is not set" in done.stderr + done.stdout


def test_a_refused_setting_stops_every_command_with_its_sentence(project: Project) -> None:
    (project.folder / "wrong.py").write_text(
        "from jobyard import Jobyard\napp = Jobyard('wrong', backend='rpc://')\n"
    )
    for arguments in (["-m", "celery", "-A", "wrong", "worker"], ["-m", "jobyard", "worker"]):
        done = project.run(*arguments, JOBYARD_APP="wrong")
        assert done.returncode != 0
        assert "result_backend: results are in the ledger" in done.stderr
