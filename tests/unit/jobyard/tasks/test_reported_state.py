"""`self.update_state`: what is kept of it, how often it is written, and when it is gone."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import Ignore
from sqlalchemy import select

from jobyard import Task, task
from jobyard.jobs.clock import utc_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import reported_state
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Cause, ClaimedJob, Failed, NewJob, ReportedState, Succeeded, new_id
from jobyard.jobs.keeper.duties import enqueue_due
from jobyard.jobs.ledger import reported_states
from jobyard.jobs.ledger.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job, get_reported_state
from jobyard.tasks import reported_state as module
from jobyard.tasks.reported_state import LONGEST_STATE, MOST_META_BYTES, StateWriter
from jobyard.worker.execution.attempt import attempt, attempt_async
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("tasks_are_forgotten")


def claim(ledger: Ledger, made: Task[..., Any], *args: Any) -> ClaimedJob:
    """Accept a job of this call, and claim it."""
    new = NewJob(new_id(), made.name, made.definition.dump(made.payload(*args)), 4)
    ledger.accept([new])
    [job] = ledger.claim([new.id], "a worker/1")
    return job


def shown(ledger: Ledger, job_id: str) -> tuple[str | None, Any] | None:
    reported = get_reported_state(ledger.database, get_job(ledger.database, job_id))
    return None if reported is None else (reported.state, json.loads(reported.meta))


@pytest.fixture
def both(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger on either database, to which the states are written."""
    writer = StateWriter(own_ledger.database)
    monkeypatch.setattr(module, "get_state_writer", lambda: writer)
    return own_ledger


def test_the_last_state_is_kept_however_many_there_were(both: Ledger, monkeypatch: Any) -> None:
    ledger = both
    written: list[list[ReportedState]] = []
    write = reported_states.write_reported_states

    def count(database: LedgerDatabase, reported: Any) -> None:
        written.append(list(reported))
        write(database, reported)

    monkeypatch.setattr(module, "write_reported_states", count)

    @task("test.counting", bind=True)
    def do(self: Any) -> None:
        for number in range(1, 1001):
            self.update_state(state="PROGRESS", meta={"done": number})

    job = claim(ledger, do)
    assert isinstance(attempt(do.definition, job), Succeeded)
    assert shown(ledger, job.id) == ("PROGRESS", {"done": 1000})
    assert len(written) <= 2 + 1000 * module.WRITE_EVERY_SECONDS


def test_a_state_is_there_while_the_task_goes_on(ledger: Ledger) -> None:
    @task("test.going_on", bind=True)
    def do(self: Any, job_id: str | None = None) -> None:
        self.update_state(state="HALF", meta=[1, 2])
        wait_until(lambda: shown(ledger, self.request.id) == ("HALF", [1, 2]), 10, "the first state")
        self.update_state(state="NEARLY", meta=None)
        wait_until(lambda: shown(ledger, self.request.id) == ("NEARLY", None), 10, "the second state")

    assert isinstance(attempt(do.definition, claim(ledger, do)), Succeeded)


def test_a_coroutine_reports_too(ledger: Ledger) -> None:
    @task("test.coroutine_reports", bind=True)
    async def do(self: Any) -> None:
        self.update_state(state="A", meta=1)
        self.update_state(state="B", meta=2)

    job = claim(ledger, do)
    assert isinstance(asyncio.run(attempt_async(do.definition, job, lambda: None)), Succeeded)
    assert shown(ledger, job.id) == ("B", 2)


def test_what_fails_has_reported_too(ledger: Ledger) -> None:
    @task("test.failing_report", bind=True)
    def do(self: Any) -> None:
        self.update_state(state="PROGRESS", meta={"row": 7})
        raise ValueError("row 7")

    job = claim(ledger, do)
    assert isinstance(attempt(do.definition, job), Failed)
    assert shown(ledger, job.id) == ("PROGRESS", {"row": 7})


def test_a_new_attempt_begins_without_the_state_of_the_last(both: Ledger) -> None:
    ledger = both

    @task("test.again", bind=True)
    def do(self: Any) -> None:
        self.update_state(state="PROGRESS", meta=1)
        raise self.retry(countdown=0)

    job = claim(ledger, do)
    ledger.settle([attempt(do.definition, job)])
    assert shown(ledger, job.id) == ("PROGRESS", 1)
    with ledger.database.writing() as connection:
        assert [due.id for due in enqueue_due(connection, 10, timedelta(0))] == [job.id]
    ledger.claim([job.id], "a worker/1")
    assert shown(ledger, job.id) is None


def test_an_attempt_that_has_lost_its_job_writes_nothing(ledger: Ledger) -> None:
    @task("test.lost", bind=True)
    def do(self: Any) -> None:
        self.update_state(state="PROGRESS", meta=1)

    job = claim(ledger, do)
    attempt(do.definition, job._replace(attempt=job.attempt + 1))
    assert shown(ledger, job.id) is None


def test_another_running_job_can_be_reported_on_and_one_that_waits_keeps_none(both: Ledger) -> None:
    ledger = both

    @task("test.reporting", bind=True)
    def do(self: Any, other: str) -> None:
        self.update_state(task_id=other, state="SEEN", meta=None)
        module.get_state_writer().flush(other)

    @task("test.reported")
    def reported() -> None: ...

    running = claim(ledger, reported)
    waiting = NewJob(new_id(), reported.name, "{}", 1)
    ledger.accept([waiting])
    for other in (running.id, waiting.id, new_id()):
        attempt(do.definition, claim(ledger, do, other))
    assert shown(ledger, running.id) == ("SEEN", None)
    assert shown(ledger, waiting.id) is None


BAD: list[tuple[dict[str, Any], str]] = [
    ({"state": "x" * (LONGEST_STATE + 1)}, "one to 64 printable characters"),
    ({"state": ""}, "one to 64 printable characters"),
    ({"state": 7}, "one to 64 printable characters"),
    ({"state": "a\x00"}, "one to 64 printable characters"),
    ({"state": "A", "meta": object()}, "meta cannot be written as JSON"),
    ({"state": "A", "meta": "\ud800"}, "meta cannot be written as JSON"),
    ({"state": "A", "meta": "x" * MOST_META_BYTES}, "more than 65536: keep it as a file"),
]


@pytest.mark.parametrize(("said", "sentence"), BAD)
def test_what_cannot_be_kept_is_refused_where_it_is_said(ledger: Ledger, said: Any, sentence: str) -> None:
    @task("test.saying_wrong", bind=True)
    def do(self: Any) -> None:
        self.update_state(**said)

    outcome = attempt(do.definition, claim(ledger, do))
    assert isinstance(outcome, Failed)
    assert sentence in outcome.failure.message


@pytest.mark.parametrize("meta", [float("nan"), {"a": [float("inf")]}, "\x00", "ä🜚", utc_now(), None])
def test_what_json_can_carry_is_kept(ledger: Ledger, meta: Any) -> None:
    @task("test.odd", bind=True)
    def do(self: Any) -> None:
        self.update_state(state="ÄHNLICH", meta=meta)

    job = claim(ledger, do)
    assert isinstance(attempt(do.definition, job), Succeeded)
    found = shown(ledger, job.id)
    assert found is not None
    assert found[0] == "ÄHNLICH"


def test_outside_a_job_there_is_nothing_to_update() -> None:
    @task("test.nowhere", bind=True)
    def do(self: Any) -> None:
        self.update_state(state="A")

    with pytest.raises(ValueError, match="outside a job has nothing to update"):
        do()


def test_another_job_is_found_by_its_external_id_and_one_that_is_not_here_spoils_nothing(
    both: Ledger,
) -> None:
    @task("test.reported_on")
    def do() -> None: ...

    new = [NewJob(new_id(), do.name, "{}", 4, external_id=name) for name in ("one", "two")]
    both.accept(new)
    both.claim([job.id for job in new], "a worker/1")
    writer = StateWriter(both.database)
    writer._write([ReportedState(name, None, "A", "1") for name in ("no-job", "a\x00b", "\ud800", "one")])
    assert shown(both, "one") == ("A", 1)
    assert shown(both, "two") is None
    with pytest.raises(ValueError, match="id of a job"):
        module.report_of_another(["one"], "A", 1)  # type: ignore[arg-type]


def test_a_ledger_that_is_away_stops_no_task(ledger: Ledger, monkeypatch: Any) -> None:
    def away(*_: Any) -> None:
        raise LedgerUnavailableError

    monkeypatch.setattr(module, "write_reported_states", away)

    @task("test.unheard", bind=True)
    def do(self: Any) -> int:
        self.update_state(state="A")
        return 1

    assert isinstance(attempt(do.definition, claim(ledger, do)), Succeeded)


def test_the_thread_is_gone_when_there_is_nothing_to_write(ledger: Ledger) -> None:
    writer = StateWriter(ledger.database)
    writer.put(ReportedState(new_id(), 1, "A", "1"))
    wait_until(lambda: not writer._is_running, 10, "the end of the thread")
    writer.put(ReportedState(new_id(), 1, "A", "1"))
    assert writer._is_running


def ignoring(state: str, meta: Any) -> Task[..., Any]:
    @task("test.ignoring_after", bind=True)
    def do(self: Any) -> int:
        self.update_state(state=state, meta=meta)
        raise Ignore

    return do


def test_a_failure_that_is_reported_and_left_alone_is_one(ledger: Ledger) -> None:
    do = ignoring("FAILURE", {"exc_type": "ValueError", "exc_message": ["row 7"]})
    outcome = attempt(do.definition, claim(ledger, do))
    assert isinstance(outcome, Failed)
    assert outcome.retry_in is None
    failure = outcome.failure
    assert (failure.cause, failure.type, failure.message) == (Cause.DISCARDED, "ValueError", "['row 7']")


def test_a_success_that_is_reported_and_left_alone_is_the_result(ledger: Ledger) -> None:
    do = ignoring("SUCCESS", 42)
    outcome = attempt(do.definition, claim(ledger, do))
    assert isinstance(outcome, Succeeded)
    assert outcome.result == "42"


def test_a_reported_success_that_is_no_result_is_refused(ledger: Ledger) -> None:
    do = ignoring("SUCCESS", "no number")
    outcome = attempt(do.definition, claim(ledger, do))
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.RESULT_REFUSED


def test_who_reports_nothing_has_no_row(ledger: Ledger) -> None:
    @task("test.silent")
    def do() -> None: ...

    job = claim(ledger, do)
    attempt(do.definition, job)
    with ledger.database.reading() as connection:
        assert not connection.execute(select(reported_state).where(reported_state.c.job_id == job.id)).all()
