"""What a call carries over HTTP: the caller's own id, headers, and limits; and a job found by either id."""

import json
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.ledger import Ledger
from tests.support.api_calls import DEEDS, accepted, deed, ended, nothing_accepted, problem, shown
from tests.support.ledger_jobs import dead


def test_a_job_is_found_by_the_id_that_its_caller_gave_it(api: httpx.Client, engine: LedgerDatabase) -> None:
    mine = f"order 7/ü {uuid4()}"
    job = accepted(api.post(DEEDS, params={"external_id": mine}, json={"text": "first"}))
    assert job["external_id"] == mine
    with nothing_accepted(engine):
        again = api.post(DEEDS, params={"external_id": mine}, json={"text": "second"})
    assert (accepted(again)["id"], again.headers["jobyard-duplicate"]) == (job["id"], "repeated")
    [listed] = api.get("/v1/jobs", params={"external_id": mine}).json()["jobs"]
    assert (listed["id"], listed["external_id"]) == (job["id"], mine)
    assert api.get("/v1/jobs/count", params={"external_id": mine}).json()["jobs"] == 1
    assert ended(api, job["id"])["result"]["said"] == "first"


@pytest.mark.parametrize(
    "written",
    [str(uuid4()), uuid4().hex, f"plain-{uuid4()}", f"ü {uuid4()}"],
    ids=["uuid", "hex", "plain", "umlaut"],
)
def test_every_path_with_an_id_takes_either(api: httpx.Client, ledger: Ledger, written: str) -> None:
    waiting = deed(api, {"external_id": written, "delay": 3600})
    path = f"/v1/jobs/{quote(written)}"
    assert api.get(path).json()["id"] == waiting
    assert api.get(f"{path}/result").status_code == 202
    assert api.post(f"{path}/cancel", json={"reason": "no need"}).json()["id"] == waiting
    assert shown(api, quote(written))["interventions"][0]["reason"] == "no need"
    died = dead(ledger, external_id=f"{written}-dead")
    discarded = api.post(f"{path}-dead/discard", json={"reason": "never"})
    assert (discarded.json()["id"], discarded.json()["attempts"][0]["type"]) == (died, "ValueError")
    problem(api.post(f"{path}-dead/replay"), 409, "job_id")


def test_a_jobs_own_id_comes_before_an_external_one(api: httpx.Client) -> None:
    first = deed(api, {"delay": 3600})
    second = deed(api, {"delay": 3600, "external_id": first})
    assert shown(api, first)["id"] == first != second
    [listed] = api.get("/v1/jobs", params={"external_id": first}).json()["jobs"]
    assert listed["id"] == second


def test_headers_and_limits_are_shown_with_the_job(api: httpx.Client) -> None:
    headers = {"tenant": "ä", "n": 1, "share": 0.5, "is_test": True}
    options = {"job_headers": json.dumps(headers), "time_limit": 60, "soft_time_limit": "PT50S"}
    job = shown(api, deed(api, options))
    assert (job["headers"], job["time_limit"], job["soft_time_limit"]) == (headers, 60, 50)
    plain = shown(api, deed(api))
    assert (plain["headers"], plain["time_limit"], plain["external_id"]) == (None, None, None)


def test_many_carry_the_same_headers_and_none_the_same_id(api: httpx.Client, engine: LedgerDatabase) -> None:
    bulk = f"{DEEDS}/bulk"
    many = api.post(bulk, params={"job_headers": '{"a": 1}'}, json=[{}, {}]).json()["ids"]
    assert [shown(api, job_id)["headers"] for job_id in many] == [{"a": 1}] * 2
    with nothing_accepted(engine):
        problem(api.post(bulk, params={"external_id": "x"}, json=[{}, {}]), 422, "external_id")
    one = api.post(bulk, params={"external_id": str(uuid4())}, json=[{}])
    assert one.status_code == 202


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("external_id", ""),
        ("external_id", "a\nb"),
        ("external_id", "x" * 256),
        ("job_headers", "{"),
        ("job_headers", "[1]"),
        ("job_headers", "null"),
        ("job_headers", '{"a": null}'),
        ("job_headers", '{"a": {"b": 1}}'),
        ("job_headers", '{"a": NaN}'),
        ("job_headers", json.dumps({"a": "x" * 4096})),
        ("time_limit", "0"),
        ("time_limit", "P400D"),
        ("soft_time_limit", "soon"),
    ],
)
def test_what_a_call_cannot_carry(api: httpx.Client, engine: LedgerDatabase, option: str, wrong: str) -> None:
    with nothing_accepted(engine):
        problem(api.post(DEEDS, params={option: wrong}, json={}), 422, option)


def test_a_soft_limit_is_below_the_hard_one(api: httpx.Client) -> None:
    told = problem(
        api.post(DEEDS, params={"time_limit": 5, "soft_time_limit": 5}, json={}), 422, "soft_time_limit"
    )
    assert "must be shorter than time_limit" in told["detail"]
