"""Jobs that this version of the code cannot run wait for a worker that can, and not for ever."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job as job_table
from jobyard.jobs.job import Cause, Failed, Failure, HandedBack, NotStarted, Outcome, PutOff, Status
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.fault_counters import FaultKind, fault_counts
from jobyard.jobs.reading.job_queries import get_attempts
from tests.support.ledger_jobs import FAILURE, accepted, claimed, found, take_back
from tests.support.waiting import wait_until

UNREADABLE = Failure(Cause.INVALID_PAYLOAD, "ValidationError", "colour: Extra inputs are not permitted")
DAY = timedelta(days=1)


def put_off(ledger: Ledger, job_id: str) -> None:
    [mine] = ledger.claim([job_id], "old worker")
    outcome = PutOff(mine.id, mine.attempt, UNREADABLE)
    assert ledger.settle([outcome]) == [outcome]


def met_ago(ledger: Ledger, job_id: str, ago: timedelta) -> None:
    """Set back when a worker first met the job without being able to run it."""
    with ledger.database.writing() as connection:
        of_it = update(job_table).where(job_table.c.id == job_id)
        connection.execute(of_it.values(unknown_since=db_now(plus=-ago)))


def value(ledger: Ledger, job_id: str, column: Any) -> Any:
    with ledger.database.reading() as connection:
        return connection.execute(select(column).where(job_table.c.id == job_id)).scalar_one()


def test_it_waits_with_the_reason_as_if_no_worker_had_claimed_it(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger, expires_in=timedelta(hours=1))
    put_off(own_ledger, job_id)
    job = found(own_ledger, job_id)
    assert (job.status, job.failure) == (Status.QUEUED, UNREADABLE)
    assert (job.attempt, job.failures, job.lost, job.started_at) == (0, 0, 0, None)
    assert get_attempts(own_ledger.database, job_id) == []
    counted = {one.what: one.times for one in fault_counts(own_ledger.database)}
    assert counted == {FaultKind.OTHER_VERSION: 1}


def test_a_worker_that_can_read_it_runs_it_as_its_first_attempt(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger)
    put_off(own_ledger, job_id)
    [mine] = own_ledger.claim([job_id], "new worker")
    assert (mine.attempt, mine.failures) == (1, 0)


def test_the_others_of_its_group_end_as_they_do_and_a_late_one_counts_for_nothing(own_ledger: Ledger) -> None:
    first, failed = claimed(own_ledger), claimed(own_ledger)
    outcomes: list[Outcome] = [PutOff(*first, UNREADABLE), Failed(*failed, FAILURE, retry_in=None)]
    assert own_ledger.settle(outcomes) == outcomes
    assert [found(own_ledger, one).status for one, _ in (first, failed)] == [Status.QUEUED, Status.DEAD]
    assert own_ledger.settle([PutOff(*first, UNREADABLE)]) == []


def test_without_a_worker_that_can_it_is_dead_in_the_end_with_the_cause(own_ledger: Ledger) -> None:
    patience = own_ledger._settings.keeper.unknown_for
    waiting, late = accepted(own_ledger), accepted(own_ledger)
    for job_id, waited in ((waiting, patience * 0.9), (late, patience * 1.1)):
        put_off(own_ledger, job_id)
        met_ago(own_ledger, job_id, waited)
        put_off(own_ledger, job_id)
    assert found(own_ledger, waiting).status is Status.QUEUED
    job = found(own_ledger, late)
    assert (job.status, job.failure, job.attempt) == (Status.DEAD, UNREADABLE, 1)
    assert [one.failure for one in get_attempts(own_ledger.database, late)] == [UNREADABLE]


@pytest.mark.parametrize("kind", ["unknown task", "unreadable payload"])
def test_it_comes_again_soon_at_first_and_seldom_later(own_ledger: Ledger, kind: str) -> None:
    resend_after = own_ledger._settings.keeper.resend_after
    fresh, old = accepted(own_ledger), accepted(own_ledger)
    met_ago(own_ledger, old, resend_after * 11)
    for job_id in (fresh, old):
        if kind == "unknown task":
            own_ledger.put_off_unknown([job_id], FAILURE)
        else:
            put_off(own_ledger, job_id)
    for job_id, pause in ((fresh, resend_after), (old, 10 * resend_after)):
        resend_at = value(own_ledger, job_id, job_table.c.resend_at)
        now = value(own_ledger, job_id, db_now())
        assert pause - timedelta(seconds=20) < resend_at - now <= pause


@pytest.mark.parametrize(
    ("outcome", "is_over"),
    [
        (lambda job_id, attempt: HandedBack(job_id, attempt, "its worker stops"), True),
        (lambda job_id, attempt: Failed(job_id, attempt, FAILURE, retry_in=timedelta(hours=1)), True),
        (NotStarted, False),
    ],
)
def test_its_waiting_is_over_once_a_worker_has_run_it(
    own_ledger: Ledger, outcome: Any, is_over: bool
) -> None:
    job_id = accepted(own_ledger)
    put_off(own_ledger, job_id)
    [mine] = own_ledger.claim([job_id], "new worker")
    ended: Outcome = outcome(job_id, mine.attempt)
    own_ledger.settle([ended])
    assert (value(own_ledger, job_id, job_table.c.unknown_since) is None) == is_over


def test_its_waiting_is_over_when_its_worker_is_lost_and_when_it_is_replayed(own_ledger: Ledger) -> None:
    lost, replayed = accepted(own_ledger), accepted(own_ledger)
    put_off(own_ledger, lost)
    own_ledger.claim([lost], "new worker")
    wait_until(lambda: take_back(own_ledger), 5, "the lease to run out")
    met_ago(own_ledger, replayed, 2 * DAY)
    put_off(own_ledger, replayed)
    assert found(own_ledger, replayed).status is Status.DEAD
    own_ledger.replay(replayed)
    for job_id in (lost, replayed):
        assert value(own_ledger, job_id, job_table.c.unknown_since) is None
    put_off(own_ledger, replayed)
    assert found(own_ledger, replayed).status is Status.QUEUED


def test_it_can_be_cancelled_meanwhile(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger)
    put_off(own_ledger, job_id)
    own_ledger.cancel(job_id)
    assert found(own_ledger, job_id).status is Status.CANCELLED
