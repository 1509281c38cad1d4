"""Celery's `app.control`, called by a program: what is about jobs happens in the ledger, or is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jobyard.broker.celery_app import app
from jobyard.jobs.actors import PYTHON
from jobyard.jobs.errors import RemoteControlError
from jobyard.jobs.job import NewJob, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.interventions import interventions
from jobyard.jobs.reading.job_queries import get_job


def accept(ledger: Ledger, **options: Any) -> str:
    [acceptance] = ledger.accept([NewJob(new_id(), "bad.deed", "{}", 3, **options)])
    return acceptance.job_id


def test_waiting_jobs_are_cancelled_at_once_and_without_a_worker(ledger: Ledger) -> None:
    jobs = [accept(ledger), accept(ledger, delay=timedelta(hours=1))]
    assert app.control.revoke(jobs) is None
    assert {get_job(ledger.database, job_id).status for job_id in jobs} == {Status.CANCELLED}
    [intervention] = interventions(ledger.database, jobs[0])
    assert (intervention.actor, intervention.reason) == (PYTHON, "revoked")


def test_a_job_is_revoked_by_the_id_that_its_caller_gave_it(ledger: Ledger) -> None:
    job_id = accept(ledger, external_id="order 7")
    app.control.revoke("order 7")
    assert get_job(ledger.database, job_id).status is Status.CANCELLED


def test_a_second_revocation_and_an_unknown_id_are_answered_and_raise_nothing(ledger: Ledger) -> None:
    job_id, unknown = accept(ledger), new_id()
    app.control.revoke(job_id)
    revoke: Any = app.control.revoke
    [again] = revoke(job_id, terminate=True, reply=True)
    assert again == {"ledger": {"ok": f"job {job_id} has ended already: cancelled"}}
    [absent] = revoke([job_id, unknown, "no-uuid"], reply=True)
    assert f"no job {unknown} was ever accepted here" in absent["ledger"]["error"]
    assert "no job with the id 'no-uuid' is here" in absent["ledger"]["error"]


def test_what_runs_is_left_alone_and_to_terminate_it_is_refused(ledger: Ledger) -> None:
    job_id = accept(ledger)
    ledger.claim([job_id], "somewhere/1")
    app.control.revoke(job_id)
    with pytest.raises(RemoteControlError, match="runs: it goes on"):
        app.control.revoke(job_id, terminate=True, signal="SIGKILL")
    with pytest.raises(RemoteControlError, match="runs: it goes on"):
        app.control.terminate(job_id)
    assert get_job(ledger.database, job_id).status is Status.RUNNING


@pytest.mark.parametrize(
    ("call", "way_out"),
    [
        (lambda: app.control.purge(), "POST /v1/jobs/ID/cancel"),
        (lambda: app.control.discard_all(), "POST /v1/jobs/ID/cancel"),
        (lambda: app.control.rate_limit("bad.deed", "1/m"), "queue of its own"),
        (lambda: app.control.time_limit("bad.deed", soft=1), "@task"),
        (lambda: app.control.revoke_by_stamped_headers({"a": "b"}), "tags"),
    ],
)
def test_what_would_change_workers_alone_is_refused_with_the_way_out(
    call: Callable[[], object], way_out: str
) -> None:
    with pytest.raises(RemoteControlError, match=f"jobs are in the ledger.*{way_out}"):
        call()
