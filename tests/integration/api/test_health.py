"""While a part of the yard is away: a silent broker only delays, and without the ledger nothing goes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

from jobyard.jobs.database.ledger_database import LedgerDatabase, open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.reading.declared_queues import declare_queues
from jobyard.local.welcome import is_ready
from jobyard.settings import Settings
from jobyard.settings.queues import Queue
from jobyard.settings.sections import LedgerSettings
from tests.support.api_calls import (
    DEEDS,
    MakeYard,
    a_word,
    accepted,
    client_of,
    count_jobs,
    deed,
    ended,
    ledger_of,
    problem,
    shown,
    stored_files,
)
from tests.support.postgresql import new_database
from tests.support.processes import YardProcesses
from tests.support.relay import Relay, relayed
from tests.support.waiting import wait_until

QUICK = {
    **{"ledger__busy_timeout": "0.3", "broker__timeout": "1", "worker__lease": "5"},
    **{"keeper__interval": "0.2", "keeper__unsent_after": "0.5"},
}


@pytest.fixture
def quick_yard(make_yard: MakeYard) -> Iterator[YardProcesses]:
    """A yard that is quick to see what is away; only its API is started."""
    yard = make_yard(**QUICK)
    yard.start_api()
    yield yard
    yard.stop_everything()


@pytest.fixture
def quick_api(quick_yard: YardProcesses) -> Iterator[httpx.Client]:
    with client_of(quick_yard) as client:
        yield client


@pytest.fixture
def quick_engine(quick_yard: YardProcesses) -> Iterator[LedgerDatabase]:
    database = ledger_of(quick_yard.home)
    yield database
    database.close()


def checks(api: httpx.Client, status: int = 200) -> dict[str, str]:
    answer = api.get("/readyz")
    assert answer.status_code == status, answer.text
    assert answer.json()["ready"] is (status == 200)
    told: dict[str, str] = answer.json()["checks"]
    return told


def test_a_whole_yard_is_healthy_and_ready(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    all_well = {"ledger": "ok", "broker": "ok", "workers": "ok"}
    wait_until(lambda: checks(api) == all_well, 20, "the worker to announce itself")


def test_queues_that_nobody_serves_are_named_and_the_api_is_ready_all_the_same(
    strict_api: httpx.Client,
) -> None:
    assert checks(strict_api)["workers"] == "no living worker serves collect, default, email, images"


def test_a_queue_of_an_earlier_run_does_not_keep_a_start_waiting(
    quick_yard: YardProcesses, quick_api: httpx.Client, quick_engine: LedgerDatabase
) -> None:
    base, settings = str(quick_api.base_url).rstrip("/"), Settings(home=quick_yard.home)
    queues = ["default", "email"]
    assert not is_ready(base, settings, queues), "no worker, no broker"
    quick_yard.start_valkey()
    quick_yard.start_worker()
    declare_queues(quick_engine, {"gone": Queue("gone")})
    wait_until(lambda: is_ready(base, settings, queues), 20, "the start to be ready")
    assert "gone" in checks(quick_api)["workers"]
    assert not is_ready(base, settings, [*queues, "gone"])


def test_a_job_is_accepted_without_a_broker_and_runs_when_there_is_one(
    quick_yard: YardProcesses, quick_api: httpx.Client
) -> None:
    job_id = deed(quick_api, text="patient")
    bulk = accepted(quick_api.post(f"{DEEDS}/bulk", json=[{}] * 10))["ids"]
    told = checks(quick_api)
    assert told["ledger"] == "ok"
    assert told["broker"].startswith("silent")
    assert {one["messages"] for one in quick_api.get("/v1/queues").json()} == {None}
    quick_yard.start_valkey()
    quick_yard.start_worker()
    assert ended(quick_api, job_id)["result"] == {"said": "patient"}
    assert {ended(quick_api, one)["status"] for one in bulk} == {"succeeded"}
    assert checks(quick_api)["broker"] == "ok"


def test_a_broker_that_dies_or_hangs_under_load_costs_no_job(
    quick_yard: YardProcesses, quick_api: httpx.Client
) -> None:
    valkey = quick_yard.start_valkey()
    quick_yard.start_worker()
    first = deed(quick_api)
    os.killpg(valkey.process.pid, signal.SIGSTOP)
    hung = deed(quick_api)
    assert checks(quick_api)["broker"].startswith("silent")
    valkey.kill()
    gone = deed(quick_api)
    assert checks(quick_api)["broker"].startswith("silent")
    quick_yard.start_valkey()
    assert {ended(quick_api, job_id, 60)["status"] for job_id in (first, hung, gone)} == {"succeeded"}


@contextmanager
def locked(database: LedgerDatabase) -> Iterator[None]:
    """Hold the ledger's one write lock, so that nobody else can write."""
    with database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        yield


def everything_that_writes(api: httpx.Client, job_id: str) -> Iterator[httpx.Response]:
    key = {"Idempotency-Key": a_word()}
    yield api.post(DEEDS, json={}, headers=key)
    yield api.post(f"{DEEDS}/bulk", json=[{}] * 10)
    yield api.post(f"{DEEDS}", json={}, headers={"Prefer": "wait=5"})
    yield api.post("/v1/files", content=b"abc")
    yield api.post(f"/v1/jobs/{job_id}/cancel")
    yield api.post(f"/v1/jobs/{job_id}/replay")


def test_a_ledger_that_cannot_be_written_means_503_and_nothing_half_accepted(
    quick_yard: YardProcesses, quick_api: httpx.Client, quick_engine: LedgerDatabase
) -> None:
    waiting = deed(quick_api, {"delay": 3600})
    before = count_jobs(quick_engine)
    with locked(quick_engine):
        for answer in everything_that_writes(quick_api, waiting):
            told = problem(answer, 503, None)
            assert answer.headers["retry-after"] == "2"
            assert "JOBYARD_LEDGER__URL" in told["detail"]
        assert "locked" in checks(quick_api, 503)["ledger"]
        assert quick_api.get("/readyz").headers["retry-after"] == "2"
        assert quick_api.get("/healthz").status_code == 200
    assert count_jobs(quick_engine) == before
    assert stored_files(quick_yard.home) == []
    assert shown(quick_api, waiting)["status"] == "scheduled"
    assert checks(quick_api)["ledger"] == "ok"
    deed(quick_api)


def test_a_request_that_was_refused_is_accepted_when_it_is_sent_again(
    quick_api: httpx.Client, quick_engine: LedgerDatabase
) -> None:
    headers = {"Idempotency-Key": a_word()}
    with locked(quick_engine):
        problem(quick_api.post(DEEDS, json={}, headers=headers), 503, None)
    answer = quick_api.post(DEEDS, json={}, headers=headers)
    assert accepted(answer)["status"] == "queued"
    assert "jobyard-duplicate" not in answer.headers


@pytest.fixture
def cut_off(make_yard: MakeYard) -> Iterator[tuple[httpx.Client, Relay, LedgerDatabase]]:
    """An API whose ledger is a PostgreSQL behind a relay."""
    with new_database() as direct:
        database = open_database(Settings(ledger=LedgerSettings(url=direct)))
        migrate(database)
        with relayed(make_url(direct).port or 5432) as relay:
            url = make_url(direct).set(port=relay.port).render_as_string(hide_password=False)
            yard = make_yard(**QUICK, ledger__url=url)
            yard.start_api()
            with client_of(yard) as client:
                yield client, relay, database
            yard.stop_everything()
        database.close()


@pytest.mark.postgresql
def test_a_ledger_that_cannot_be_reached_means_503_until_it_can_be(
    cut_off: tuple[httpx.Client, Relay, LedgerDatabase],
) -> None:
    api, relay, database = cut_off
    job_id = deed(api, {"delay": 3600})
    file_id = api.post("/v1/files", content=b"abc").json()["id"]
    paths = (
        *(f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/result", f"/v1/files/{file_id}"),
        *("/v1/jobs", "/v1/queues", "/v1/workers"),
    )
    relay.cut()
    answers: list[Any] = [*everything_that_writes(api, job_id), *map(api.get, paths)]
    for answer in answers:
        problem(answer, 503, None)
        assert answer.headers["retry-after"] == "2"
    assert checks(api, 503)["ledger"] != "ok"
    assert count_jobs(database) == 1
    relay.mend()
    assert shown(api, job_id)["status"] == "scheduled"
    assert checks(api)["ledger"] == "ok"
    deed(api)
