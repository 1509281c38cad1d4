"""An API that runs without the fast lane, because uvicorn has changed."""

import sys

import httpx

from jobyard.jobs.job import Status
from tests.support.own_yard import OwnYard
from tests.support.processes import answers
from tests.support.waiting import wait_until


def test_with_another_uvicorn_every_request_goes_the_ordinary_way(own: OwnYard) -> None:
    code = (
        "from jobyard.http.fast_lane import uvicorn_names as names\n"
        "names.METHODS = (*names.METHODS, 'on_something_new')\n"
        "from jobyard.http.server import main\n"
        "main()"
    )
    api = own.start_command("api", sys.executable, "-c", code)
    wait_until(lambda: answers(own.port("API")) or api.process.poll() is not None, 40, "the API to answer")
    assert "no fast lane and no bounds of connections" in api.output()
    assert "uvicorn_lacks=on_something_new" in api.output()
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    answer = httpx.post(url, json={"then": "return", "journal": str(own.journal)}, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
    own.start_worker()
    own.wait_for([answer.json()["id"]], Status.SUCCEEDED)
