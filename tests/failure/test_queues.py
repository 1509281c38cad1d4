"""Queues that a setting declares: served by the workers of their kind, and narrowed by -Q."""

import httpx
import pytest

from jobyard.jobs.job import Status
from tests.support.broker import on_every_broker
from tests.support.own_yard import OwnYard
from tests.support.processes import Program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def declared(own: OwnYard) -> OwnYard:
    """A yard with two queues more, one of each kind."""
    own.settings["JOBYARD_QUEUES"] = "reports=threads, gpu=prefork"
    return own


def start_worker(own: OwnYard, *options: str) -> Program:
    worker = own.start("worker", "jobyard", "worker", *options)
    wait_until(lambda: " ready." in worker.output() or worker.process.poll() is not None, 40, "a worker")
    assert worker.process.poll() is None, worker.output()
    return worker


def post(own: OwnYard, queue: str) -> httpx.Response:
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    order = {"then": "return", "journal": str(own.journal)}
    return httpx.post(url, params={"queue": queue}, json=order, timeout=10)


def queues(own: OwnYard) -> dict[str, dict[str, object]]:
    answer = httpx.get(f"http://127.0.0.1:{own.port('API')}/v1/queues", timeout=10).json()
    return {queue["name"]: queue for queue in answer}


def unserved(own: OwnYard) -> str:
    answer = httpx.get(f"http://127.0.0.1:{own.port('API')}/readyz", timeout=10).json()
    return str(answer["checks"]["workers"])


@on_every_broker
def test_a_declared_queue_is_served_by_the_workers_of_its_kind_without_a_list(declared: OwnYard) -> None:
    declared.start_api()
    assert unserved(declared) == "no living worker serves collect, default, email, gpu, images, reports"
    start_worker(declared, "--kind", "threads")
    wait_until(lambda: unserved(declared) == "no living worker serves gpu, images", 20, "the announcement")
    reports, gpu = (post(declared, queue).json()["id"] for queue in ("reports", "gpu"))
    declared.wait_for([reports], Status.SUCCEEDED, 20)
    assert declared.job(gpu).status is Status.QUEUED
    gpu_waits = (
        "no living worker serves gpu, images; jobs wait in gpu (1): "
        "start `jobyard worker --kind prefork -Q gpu`"
    )
    wait_until(lambda: unserved(declared) == gpu_waits, 20, "its message to be noted")
    start_worker(declared, "--kind", "prefork", "-c", "1")
    declared.wait_for([gpu], Status.SUCCEEDED, 20)
    wait_until(lambda: unserved(declared) == "ok", 20, "the announcement")
    found = queues(declared)
    assert (found["reports"]["kind"], found["gpu"]["kind"]) == ("threads", "prefork")
    assert (found["gpu"]["slots"], bool(found["reports"]["slots"])) == (1, True)


def test_a_list_of_queues_narrows_what_a_worker_serves(declared: OwnYard) -> None:
    declared.start_api()
    start_worker(declared, "-Q", "gpu,reports")
    wait_until(
        lambda: unserved(declared) == "no living worker serves collect, default, email, images",
        20,
        "its announcement",
    )
    gpu, default = (post(declared, queue).json()["id"] for queue in ("gpu", "default"))
    declared.wait_for([gpu], Status.SUCCEEDED, 20)
    assert declared.job(default).status is Status.QUEUED


def test_a_queue_that_was_not_declared_is_refused_and_nothing_is_written(declared: OwnYard) -> None:
    declared.start_api()
    answer = post(declared, "repots")
    assert answer.status_code == 422
    assert "there is no queue 'repots'; the queues are: " in answer.json()["detail"]
    assert "JOBYARD_QUEUES" in answer.json()["detail"]
    assert declared.everything() == []
    refused = declared.run_code(
        "from tests.support.bad_tasks import Deed, deed; deed.submit(Deed(), queue='repots')"
    )
    assert "QueueNotFoundError: there is no queue 'repots'" in refused.stderr
    assert declared.everything() == []


def test_a_worker_that_is_to_serve_a_queue_that_was_not_declared_says_so(declared: OwnYard) -> None:
    ended = declared.run("jobyard", "worker", "-Q", "reports,repots")
    assert ended.returncode != 0
    assert "-Q: there is no queue 'repots'; the queues are: collect, default, email, gpu" in ended.stderr
