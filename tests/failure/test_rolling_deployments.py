"""Workers and APIs of two versions at once, as while a deployment is rolling (row 37 of the matrix)."""

from pathlib import Path

import httpx
import pytest

from jobyard.jobs.job import Cause, NewJob, Status, new_id
from jobyard.jobs.ledger.fault_counters import FaultKind
from tests.support.own_yard import OwnYard

VERSION = """
from jobyard import Payload, task


class Parcel(Payload):
    item: str
    {field}


@task("parcel.send")
def send(parcel: Parcel) -> str:
    return parcel.item
"""
WITHOUT_COLOUR, OPTIONAL_COLOUR, COLOUR = "", "colour: str | None = None", "colour: str"


def deploy(own: OwnYard, field: str) -> None:
    """Let what is started from now on have the version of the module with this field."""
    folder = own.home / f"version-{len(field)}"
    folder.mkdir(exist_ok=True)
    Path(folder, "parcels.py").write_text(VERSION.format(field=field))
    own.extra["PYTHONPATH"] = str(folder)
    own.settings["JOBYARD_TASKS__MODULES"] = "tests.support.bad_tasks,parcels"


def post(own: OwnYard, payload: dict[str, str]) -> str:
    answer = httpx.post(f"http://127.0.0.1:{own.port('API')}/v1/tasks/parcel.send/jobs", json=payload)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize(
    ("accepted_by", "unfit", "payload", "complaint"),
    [
        pytest.param(OPTIONAL_COLOUR, WITHOUT_COLOUR, {"item": "a"}, "colour", id="new or removed field"),
        pytest.param(WITHOUT_COLOUR, COLOUR, {"item": "a"}, "Field required", id="newly required field"),
    ],
)
def test_row_37_a_payload_of_another_version_waits_for_a_worker_that_can_read_it(
    on_either: OwnYard, accepted_by: str, unfit: str, payload: dict[str, str], complaint: str
) -> None:
    own = on_either
    deploy(own, unfit)
    own.start_worker()
    deploy(own, accepted_by)
    own.start_api()
    job_id = post(own, payload)
    own.wait_until(
        lambda: own.fault_count(FaultKind.OTHER_VERSION) >= 2, 30, "the other worker to meet it twice"
    )
    job = httpx.get(f"http://127.0.0.1:{own.port('API')}/v1/jobs/{job_id}").json()
    assert (job["status"], job["attempt"], job["failure"]["cause"]) == ("queued", 0, Cause.INVALID_PAYLOAD)
    assert complaint in job["failure"]["message"]
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED, 60)  # however often the other worker fetches it first
    assert (own.job(job_id).attempt, own.job(job_id).result) == (1, '"a"')


def test_row_37_the_other_jobs_of_its_message_run(own: OwnYard) -> None:
    deploy(own, WITHOUT_COLOUR)
    own.start_worker()
    payloads = ['{"item":"a"}', '{"item":"a","colour":"red"}', '{"item":"a"}', '{"item":"a"}']
    new = [NewJob(new_id(), "parcel.send", payload, max_attempts=3) for payload in payloads]
    own.ledger.accept(new)
    own.publish([job.id for job in new], task="parcel.send")
    own.wait_for([new[0].id, new[2].id, new[3].id], Status.SUCCEEDED)
    own.wait_until(lambda: own.job(new[1].id).failure, 20, "the odd one to be put off")
    assert own.job(new[1].id).status is not Status.DEAD
