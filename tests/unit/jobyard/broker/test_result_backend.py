"""What the read-only result backend tells a program with stock Celery, on either ledger."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import ImproperlyConfigured, TaskRevokedError

from jobyard.broker.result_backend import JobyardBackend, exception_of
from jobyard.jobs.job import Cause, Failure, Status, Succeeded
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from tests.support.ledger_jobs import accepted, claimed, dead, new


@pytest.fixture
def app(own_ledger: Ledger) -> Iterator[Any]:
    url = own_ledger.database.url.render_as_string(hide_password=False)
    app: Any = Celery("stock", set_as_current=False, backend=f"jobyard+{url}")
    yield app
    app.backend._database.close()


def test_states_are_those_of_celery_by_either_id(app: Any, own_ledger: Ledger) -> None:
    assert app.AsyncResult("never-sent").state == "PENDING"
    job_id = accepted(own_ledger, external_id="the message", delay=timedelta(hours=1))
    assert {app.AsyncResult(id_).state for id_ in (job_id, "the message")} == {"PENDING"}
    own_ledger.cancel(job_id)
    result = app.AsyncResult("the message")
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=1)
    running, attempt = claimed(own_ledger)
    assert app.AsyncResult(running).state == "STARTED"
    own_ledger.settle([Succeeded(running, attempt, '{"a": [1]}')])
    assert app.AsyncResult(running).get(timeout=1) == {"a": [1]}


def test_a_dead_letter_is_a_failure_with_its_exception_and_traceback(app: Any, own_ledger: Ledger) -> None:
    result = app.AsyncResult(dead(own_ledger))
    assert result.state == "FAILURE"
    with pytest.raises(ValueError, match="as ordered"):
        result.get(timeout=1)
    assert result.traceback == "the traceback"


def test_an_exception_that_is_not_known_here_has_its_name() -> None:
    error = exception_of(Failure(Cause.EXCEPTION, "OutOfBread", "no bread", None, "shop.errors"))
    assert (type(error).__name__, type(error).__module__, str(error)) == (
        "OutOfBread",
        "shop.errors",
        "no bread",
    )
    odd = exception_of(Failure(Cause.EXCEPTION, "system", "ls", None, "os"))
    assert isinstance(odd, Exception)


def test_it_only_reads(app: Any, own_ledger: Ledger) -> None:
    backend: Any = app.backend
    for write in (backend.mark_as_done, backend.save_group):
        with pytest.raises(NotImplementedError, match="only tells"):
            write("an-id", 1)
    with pytest.raises(NotImplementedError, match="RETENTION"):
        app.AsyncResult(accepted(own_ledger)).forget()


@pytest.mark.parametrize("url", ["mysql://here/db", "redis://here"])
def test_another_database_is_refused_with_the_form_of_the_url(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="jobyard\\+postgresql://"):
        JobyardBackend(Celery("stock", set_as_current=False), url=url)


def test_no_password_is_shown() -> None:
    backend = JobyardBackend(Celery("stock", set_as_current=False), url="postgresql://ada:s3cret@here/db")
    assert "s3cret" not in backend.as_uri()


def test_a_message_that_cannot_be_used_is_a_dead_letter_once(own_ledger: Ledger) -> None:
    failure = Failure(Cause.FOREIGN_MESSAGE, "ForeignMessage", "does not fit")
    jobs = [new(external_id="one"), new(external_id="two")]
    first = own_ledger.accept_dead(jobs, [failure, failure])
    again = own_ledger.accept_dead([new(external_id="one")], [failure])
    assert [acceptance.job_id for acceptance in again] == [first[0].job_id]
    job = get_job(own_ledger.database, "one")
    assert (job.status, job.failure) == (Status.DEAD, failure)
