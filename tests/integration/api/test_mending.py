"""One dead job: replayed with a mended payload, or discarded."""

from typing import Any

import httpx
import pytest

from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault_and_commit
from tests.support.api_calls import NOBODYS_ID, deed, ended, problem, raw, shown
from tests.support.ledger_jobs import dead


def test_a_payload_is_mended_before_the_replay_and_the_difference_is_kept(
    api: httpx.Client, ledger: Ledger
) -> None:
    job_id = dead(ledger, payload='{"then": "raise", "text": "hello"}')
    mending = {"payload": {"then": "return", "text": "hello"}, "reason": "typing error"}
    answer = api.post(f"/v1/jobs/{job_id}/replay", json=mending)
    assert answer.status_code == 202, answer.text
    job = ended(api, job_id)
    assert (job["status"], job["result"], job["payload"]["then"]) == (
        "succeeded",
        {"said": "hello"},
        "return",
    )
    [note] = job["interventions"]
    assert (note["kind"], note["reason"]) == ("replayed", "typing error")
    assert {"path": "/then", "before": "raise", "after": "return"} in note["difference"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"payload": {"then": "dance"}}', 422, "payload.then"),
        (b'{"payload": {"nope": 1}}', 422, "payload.nope"),
        (b'{"payload": {"text": "a\\u0000b"}}', 422, "payload.text"),
        (b'{"payload": []}', 422, "payload"),
        (b'{"nope": 1}', 422, "nope"),
        (b'{"reason": ""}', 422, "reason"),
        (b'{"reason": "a\\u0000b"}', 422, "reason"),
        (b'{"payload": {"seconds": NaN}}', 400, "body"),
        (b"[]", 422, "body"),
        (b"nope", 400, "body"),
        (b"x" * 2_000_000, 413, "body"),
    ],
)
def test_a_payload_that_the_task_does_not_take_changes_nothing(
    api: httpx.Client, ledger: Ledger, body: bytes, status: int, field: str
) -> None:
    job_id = dead(ledger)
    problem(raw(api, f"/v1/jobs/{job_id}/replay", body), status, field)
    job = shown(api, job_id)
    assert (job["status"], job["payload"], job["interventions"]) == ("dead", {}, [])


def test_a_job_of_an_unknown_task_cannot_be_mended_but_replayed(api: httpx.Client, ledger: Ledger) -> None:
    job_id = dead(ledger, task="nobodys.task")
    problem(api.post(f"/v1/jobs/{job_id}/replay", json={"payload": {}}), 404, "task")
    assert shown(api, job_id)["status"] == "dead"
    assert api.post(f"/v1/jobs/{job_id}/replay").status_code == 202


def test_a_job_of_housekeeping_is_replayed_as_it_is(api: httpx.Client, ledger: Ledger) -> None:
    job_id = dead(ledger, task="upkeep.heartbeat")
    problem(api.post(f"/v1/jobs/{job_id}/replay", json={"payload": {}}), 403, "task")
    assert api.post(f"/v1/jobs/{job_id}/replay").status_code == 202


def test_only_a_dead_job_is_mended(api: httpx.Client) -> None:
    job_id = deed(api, {"delay": 3600})
    problem(api.post(f"/v1/jobs/{job_id}/replay", json={"payload": {"text": "x"}}), 409, "job_id")
    assert shown(api, job_id)["payload"]["text"] == ""
    problem(api.post(f"/v1/jobs/{NOBODYS_ID}/replay", json={"payload": {}}), 404, "job_id")


def test_a_dead_job_is_discarded_with_a_reason(api: httpx.Client, ledger: Ledger) -> None:
    job_id = dead(ledger)
    answer = api.post(f"/v1/jobs/{job_id}/discard", json={"reason": "a test order"})
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    assert (job["status"], job["interventions"][0]["kind"]) == ("cancelled", "discarded")
    problem(api.post(f"/v1/jobs/{job_id}/discard", json={"reason": "again"}), 409, "job_id")


@pytest.mark.parametrize(("body", "field"), [(b"{}", "reason"), (b'{"reason": ""}', "reason")])
def test_a_discard_needs_a_reason(api: httpx.Client, ledger: Ledger, body: bytes, field: str) -> None:
    job_id = dead(ledger)
    problem(raw(api, f"/v1/jobs/{job_id}/discard", body), 422, field)
    assert shown(api, job_id)["status"] == "dead"


def test_faults_are_counted_where_everybody_can_read_them(api: httpx.Client, ledger: Ledger) -> None:
    count_fault_and_commit(ledger.database, FaultKind.BAD_MESSAGE)
    faults = {fault["what"]: fault["times"] for fault in api.get("/v1/faults").json()}
    assert faults["bad_message"] >= 1
