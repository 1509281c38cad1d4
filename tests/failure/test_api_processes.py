"""The API as several processes on one port, which are replaced and end together; and without fast lane."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from jobyard.jobs.job import Status
from tests.support.own_yard import OwnYard
from tests.support.processes import Program, answers, lives
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

PROCESSES = 3


@pytest.fixture
def several(own: OwnYard) -> tuple[OwnYard, Program]:
    own.settings |= {"JOBYARD_API__PROCESSES": str(PROCESSES)}
    api = own.start_api()
    wait_until(lambda: len(children(api)) == PROCESSES, 20, "every process")
    return own, api


def children(api: Program) -> list[psutil.Process]:
    return [child for child in psutil.Process(api.process.pid).children() if lives(child)]


def post(own: OwnYard) -> httpx.Response:
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    return httpx.post(url, json={"then": "return", "journal": str(own.journal)}, timeout=30)


def post_many(own: OwnYard, how_many: int) -> list[str]:
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: post(own), range(how_many)))
    assert {answer.status_code for answer in found} == {202}
    return [answer.json()["id"] for answer in found]


def test_every_process_accepts_jobs_and_publishes_them(several: tuple[OwnYard, Program]) -> None:
    own, api = several
    own.start_worker()
    job_ids = post_many(own, 200)
    own.wait_for(job_ids, Status.SUCCEEDED, 20)
    own.check_invariant(job_ids)
    used = [child for child in children(api) if child.cpu_times().user > 0]
    assert len(used) == PROCESSES


def test_a_process_that_is_killed_is_replaced_and_the_others_go_on(several: tuple[OwnYard, Program]) -> None:
    own, api = several
    accepted = post_many(own, 10)
    victim = children(api)[0]
    victim.kill()
    wait_until(lambda: "an API process ended, another is started" in api.output(), 10, "the log line")
    wait_until(lambda: len(children(api)) == PROCESSES, 10, "another process")
    assert victim.pid not in {child.pid for child in children(api)}
    accepted += post_many(own, 20)
    own.start_worker()
    own.wait_for(accepted, Status.SUCCEEDED, 20)


def test_a_request_waits_while_every_process_is_replaced(several: tuple[OwnYard, Program]) -> None:
    own, api = several
    for child in children(api):
        child.kill()
    accepted = post_many(own, 1)
    own.start_worker()
    own.wait_for(accepted, Status.SUCCEEDED, 20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_end_when_the_first_is_told_to(several: tuple[OwnYard, Program], number: signal.Signals) -> None:
    own, api = several
    post_many(own, 5)
    found = children(api)
    os.kill(api.process.pid, number)
    assert api.process.wait(15) == 0
    assert not any(lives(child) for child in found)
    assert not answers(own.port("API"))


def test_none_is_left_when_the_first_is_killed(several: tuple[OwnYard, Program]) -> None:
    own, api = several
    found = children(api)
    os.kill(api.process.pid, signal.SIGKILL)
    api.process.wait(10)
    wait_until(lambda: not any(lives(child) for child in found), 20, "the processes to end")
    assert not answers(own.port("API"))


def test_with_another_uvicorn_every_request_goes_the_ordinary_way(own: OwnYard) -> None:
    code = (
        "from jobyard.http.fast_lane import uvicorn_names as names\n"
        "names.METHODS = (*names.METHODS, 'on_something_new')\n"
        "from jobyard.http.server import main\n"
        "main()"
    )
    api = own.start_command("api", sys.executable, "-c", code)
    wait_until(lambda: answers(own.port("API")) or api.process.poll() is not None, 40, "the API to answer")
    assert "no fast lane, every request goes the ordinary way" in api.output()
    assert "uvicorn_lacks=on_something_new" in api.output()
    answer = post(own)
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
    own.start_worker()
    own.wait_for([answer.json()["id"]], Status.SUCCEEDED)
