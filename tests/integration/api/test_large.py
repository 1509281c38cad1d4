"""Payloads and results that are too large for a row: in the file store, and nobody who asks can tell."""

import json
from pathlib import Path

import httpx
import pytest

from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from tests.support.api_calls import DEEDS, accepted, deed, ended, problem, shown
from tests.support.bad_tasks import Deed
from tests.support.bad_tasks import deed as deed_task
from tests.support.processes import YardProcesses

LONG = "a long text " * 10_000


def files_of(worker: YardProcesses, job_id: str) -> list[Path]:
    return sorted((worker.home / "files" / "checks" / job_id[-2:] / job_id).glob("*"))


def test_a_long_payload_and_a_long_result_come_back_whole(
    api: httpx.Client, ledger: Ledger, worker: YardProcesses
) -> None:
    job_id = deed(api, text=LONG)
    job = ended(api, job_id)
    assert (job["payload"]["text"], job["result"]) == (LONG, {"said": LONG})
    assert api.get(f"/v1/jobs/{job_id}/result").json() == {"said": LONG}
    row = get_job(ledger.database, job_id)
    assert (row.payload, row.result) == ("@payload", "@result-1")
    assert [path.name for path in files_of(worker, job_id)] == ["payload", "result-1"]


def test_from_python_as_well(worker: YardProcesses, ledger: Ledger) -> None:
    handle = deed_task.delay(Deed(text=LONG))
    assert handle.get(timeout=20).said == LONG
    assert get_job(ledger.database, handle.id).payload == "@payload"


def test_in_a_bulk_and_in_an_export(api: httpx.Client) -> None:
    tag = {"tag": "test-large-bulk"}
    answer = api.post(f"{DEEDS}/bulk", params=tag, json=[{"text": LONG}, {"text": "short"}])
    for job_id in answer.json()["ids"]:
        ended(api, job_id)
    lines = api.get("/v1/jobs/export", params=tag).text.splitlines()
    assert [json.loads(line)["payload"]["text"] for line in lines] == ["short", LONG]
    assert LONG in api.get("/v1/jobs/export", params=tag | {"format": "csv"}).text


def test_the_same_request_again_is_the_same_job(api: httpx.Client) -> None:
    key = {"Idempotency-Key": "test-large-again"}
    first = accepted(api.post(DEEDS, json={"text": LONG}, headers=key))
    assert accepted(api.post(DEEDS, json={"text": LONG}, headers=key))["id"] == first["id"]
    problem(api.post(DEEDS, json={"text": LONG + "x"}, headers=key), 422, "Idempotency-Key")


def test_a_payload_that_is_gone_ends_its_job_and_is_mended_by_a_new_one(
    api: httpx.Client, worker: YardProcesses
) -> None:
    job_id = deed(api, {"delay": "PT1S"}, text=LONG)
    [file] = files_of(worker, job_id)
    file.unlink()
    job = ended(api, job_id)
    assert (job["status"], job["failure"]["cause"]) == ("dead", "invalid_payload")
    assert "not in the file store" in job["failure"]["message"]
    assert "not in the file store" in job["payload"]["unavailable"]
    mended = api.post(f"/v1/jobs/{job_id}/replay", json={"payload": {"text": LONG}})
    assert mended.status_code == 202, mended.text
    assert ended(api, job_id)["status"] == "succeeded"
    assert shown(api, job_id)["payload"]["text"] == LONG


def test_a_result_that_is_gone_is_said_to_be(api: httpx.Client, worker: YardProcesses) -> None:
    job_id = deed(api, text=LONG)
    ended(api, job_id)
    files_of(worker, job_id)[-1].unlink()
    problem(api.get(f"/v1/jobs/{job_id}/result"), 503, None)
    assert "not in the file store" in shown(api, job_id)["result"]["unavailable"]


def test_fields_of_a_long_payload_are_not_searched_and_break_no_search(api: httpx.Client) -> None:
    tag = "test-large-search"
    ended(api, deed(api, {"tag": tag}, text=LONG, number=7))
    short = deed(api, {"tag": tag}, text="short", number=7)
    ended(api, short)
    found = api.get("/v1/jobs", params={"tag": tag, "payload.number": "7"}).json()["jobs"]
    assert [job["id"] for job in found] == [short]


@pytest.mark.parametrize("text", ["@payload", "@"])
def test_a_result_that_looks_like_a_check_is_none(api: httpx.Client, text: str) -> None:
    assert ended(api, deed(api, text=text))["result"] == {"said": text}
