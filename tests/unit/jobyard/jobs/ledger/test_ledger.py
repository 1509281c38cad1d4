"""The ledger's promises, on every database that it runs on."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobyard.jobs.clock import db_now, utc_now
from jobyard.jobs.database.schema import job as job_table
from jobyard.jobs.errors import IllegalMoveError, JobNotFoundError
from jobyard.jobs.job import (
    Cause,
    Failed,
    HandedBack,
    NotStarted,
    Status,
    Succeeded,
    Verdict,
    new_id,
)
from jobyard.jobs.keeper import duties
from jobyard.jobs.ledger import Ledger, settle
from jobyard.jobs.ledger.fault_counters import FaultKind, fault_counts
from jobyard.jobs.reading.job_queries import get_attempts, get_progress
from jobyard.jobs.retry import UNLIMITED_ATTEMPTS
from tests.support.ledger_jobs import FAILURE, SOON, accepted, claimed, dead, found, new, take_back
from tests.support.waiting import wait_until


def test_an_accepted_job_is_queued_with_all_that_was_said_of_it(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger, priority=9, queue="email", tags=("b", "a"), payload='{"x":"ü"}')
    stored = found(own_ledger, job_id)
    assert (stored.status, stored.priority, stored.queue) == (Status.QUEUED, 9, "email")
    assert (stored.tags, stored.payload) == (("a", "b"), '{"x":"ü"}')
    assert abs(stored.created_at - utc_now()) < timedelta(seconds=30)


def test_a_delayed_job_is_scheduled_and_one_whose_time_is_past_is_queued(own_ledger: Ledger) -> None:
    delayed = found(own_ledger, accepted(own_ledger, delay=timedelta(hours=1)))
    dated = found(own_ledger, accepted(own_ledger, run_at=utc_now() + timedelta(hours=2)))
    past = found(own_ledger, accepted(own_ledger, run_at=utc_now() - timedelta(hours=2)))
    assert [delayed.status, dated.status, past.status] == [Status.SCHEDULED, Status.SCHEDULED, Status.QUEUED]
    assert delayed.run_at - delayed.created_at == timedelta(hours=1)


def test_a_group_is_accepted_in_order_with_a_verdict_for_each(own_ledger: Ledger) -> None:
    first = new(idempotency_key="k", request_hash="same")
    other = new(idempotency_key="k", request_hash="other")
    again = new(idempotency_key="k", request_hash="same")
    plain = new()
    answers = own_ledger.accept([first, plain, again, other])
    assert [answer.verdict for answer in answers] == [
        Verdict.NEW,
        Verdict.NEW,
        Verdict.REPEATED,
        Verdict.CONFLICT,
    ]
    assert [answer.job_id for answer in answers] == [first.id, plain.id, first.id, first.id]


def test_the_same_key_from_fifty_threads_makes_one_job(own_ledger: Ledger) -> None:
    with ThreadPoolExecutor(16) as pool:
        rivals = [new(idempotency_key="k", request_hash="h") for _ in range(50)]
        answers = [answer for [answer] in pool.map(own_ledger.accept, ([rival] for rival in rivals))]
    assert len({answer.job_id for answer in answers}) == 1
    assert [answer.verdict for answer in answers].count(Verdict.NEW) == 1


def test_a_unique_key_holds_until_its_job_has_ended(own_ledger: Ledger) -> None:
    [first] = own_ledger.accept([new(unique_key="u")])
    [second] = own_ledger.accept([new(unique_key="u")])
    assert (second.verdict, second.job_id) == (Verdict.DUPLICATE, first.job_id)
    own_ledger.cancel(first.job_id)
    [third] = own_ledger.accept([new(unique_key="u")])
    assert third.verdict is Verdict.NEW


def test_a_unique_key_belongs_to_its_task(own_ledger: Ledger) -> None:
    answers = own_ledger.accept([new(unique_key="u"), new(unique_key="u", task="bad.other")])
    assert [answer.verdict for answer in answers] == [Verdict.NEW, Verdict.NEW]


def test_of_many_claims_for_one_job_exactly_one_gets_it(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger)
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda name: own_ledger.claim([job_id], name), "abcdefgh"))
    assert sorted(len(claim) for claim in claims) == [0] * 7 + [1]
    assert found(own_ledger, job_id).attempt == 1


def test_a_group_is_claimed_as_far_as_it_is_queued(own_ledger: Ledger) -> None:
    queued, scheduled = accepted(own_ledger), accepted(own_ledger, delay=timedelta(hours=1))
    claim = own_ledger.claim([queued, scheduled, new_id()], "worker")
    assert [job.id for job in claim] == [queued]


def test_a_success_stores_the_result_and_ends_the_job(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    outcome = Succeeded(job_id, attempt, '{"said":"hi"}')
    assert own_ledger.settle([outcome]) == [outcome]
    stored = found(own_ledger, job_id)
    assert (stored.status, stored.result, stored.lease_until) == (Status.SUCCEEDED, '{"said":"hi"}', None)
    assert stored.finished_at is not None


def test_a_failure_with_attempts_left_is_a_row_with_its_time(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    own_ledger.settle([Failed(job_id, attempt, FAILURE, retry_in=timedelta(minutes=5))])
    stored = found(own_ledger, job_id)
    assert (stored.status, stored.failures) == (Status.RETRYING, 1)
    assert timedelta(minutes=4) < stored.run_at - utc_now() <= timedelta(minutes=5, seconds=5)
    [history] = get_attempts(own_ledger.database, job_id)
    assert (history.attempt, history.failure, history.worker) == (1, FAILURE, "worker")


def test_a_job_that_was_put_off_has_lost_no_attempt(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    own_ledger.settle([Failed(job_id, attempt, FAILURE, retry_in=SOON, counts=False)])
    assert found(own_ledger, job_id).failures == 0


def test_the_newest_progress_is_found_after_failures_a_lost_worker_and_a_replay(own_ledger: Ledger) -> None:
    database, [job_id, attempt] = own_ledger.database, claimed(own_ledger)
    assert get_progress(database, job_id) is None
    for progress, found_then in (("[1]", "[1]"), ("[1,2]", "[1,2]"), (None, "[1,2]")):
        own_ledger.settle([Failed(job_id, attempt, FAILURE, timedelta(0), counts=False, progress=progress)])
        wait_until(lambda: due(own_ledger), 5, "the retry to be due")
        [again] = own_ledger.claim([job_id], "worker")
        attempt = again.attempt
        assert get_progress(database, job_id) == found_then
    wait_until(lambda: take_back(own_ledger), 10, "the lease to run out")
    [again] = own_ledger.claim([job_id], "another worker")
    own_ledger.settle([Failed(job_id, again.attempt, FAILURE, None)])
    own_ledger.replay(job_id)
    assert get_progress(database, job_id) == "[1,2]"


def test_a_job_that_is_tried_for_ever_keeps_its_newest_attempts_and_its_progress(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "MOST_ATTEMPTS_KEPT", 3)
    job_id, attempt = claimed(own_ledger, max_attempts=UNLIMITED_ATTEMPTS)
    for number in range(1, 9):
        progress = "[2]" if number == 2 else None
        own_ledger.settle([Failed(job_id, attempt, FAILURE, timedelta(0), progress=progress)])
        with own_ledger.database.writing() as connection:
            duties.enqueue_due(connection, 10, SOON)
        [mine] = own_ledger.claim([job_id], "worker")
        attempt = mine.attempt
    assert [one.attempt for one in get_attempts(own_ledger.database, job_id)] == [2, 6, 7, 8]
    assert get_progress(own_ledger.database, job_id) == "[2]"
    assert mine.failures == 8


def test_a_superseded_attempt_records_no_progress(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    wait_until(lambda: take_back(own_ledger), 10, "the lease to run out")
    own_ledger.settle([Failed(job_id, attempt, FAILURE, timedelta(0), progress="[1]")])
    assert get_progress(own_ledger.database, job_id) is None


def test_a_dead_job_keeps_its_failure_and_a_success_forgets_it(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger)
    assert found(own_ledger, job_id).failure == replace(FAILURE, traceback=None)
    own_ledger.replay(job_id)
    [again] = own_ledger.claim([job_id], "worker")
    own_ledger.settle([Succeeded(job_id, again.attempt, "{}")])
    assert found(own_ledger, job_id).failure is None
    assert len(get_attempts(own_ledger.database, job_id)) == 1


def test_a_superseded_attempt_changes_nothing(own_ledger: Ledger) -> None:
    job_id, old = claimed(own_ledger)
    wait_until(lambda: take_back(own_ledger), 5, "the lease to run out")
    [current] = own_ledger.claim([job_id], "another worker")
    late, valid = Succeeded(job_id, old, '"late"'), Succeeded(job_id, current.attempt, '"valid"')
    assert own_ledger.settle([late, valid]) == [valid]
    assert found(own_ledger, job_id).result == '"valid"'
    assert own_ledger.settle([late]) == []


def test_a_renewed_lease_is_not_taken_back(own_ledger: Ledger) -> None:
    kept, attempt = claimed(own_ledger)
    claimed(own_ledger)
    taken: list[str] = []

    def one_is_lost() -> bool:
        own_ledger.renew([(kept, attempt)])
        taken.extend(job.id for job in take_back(own_ledger))
        return bool(taken)

    wait_until(one_is_lost, 5, "the other lease to run out")
    assert kept not in taken
    assert own_ledger.renew([(kept, attempt), (taken[0], 1)]) == {(kept, attempt)}


def test_a_job_that_loses_three_workers_is_dead_with_the_cause(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger)
    for _ in range(3):
        own_ledger.claim([job_id], "worker")
        wait_until(lambda: is_no_longer_running(own_ledger, job_id), 5, "the lease to run out")
    stored = found(own_ledger, job_id)
    assert (stored.status, stored.lost, stored.failures) == (Status.DEAD, 3, 0)
    assert stored.failure is not None
    assert stored.failure.cause is Cause.LOST_WORKER
    assert len(get_attempts(own_ledger.database, job_id)) == 3


def test_a_late_success_changes_nothing_by_itself_and_among_others(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    late = Succeeded(job_id, attempt, '"late"')
    own_ledger.settle([HandedBack(job_id, attempt, "its worker stops")])
    assert own_ledger.settle([late]) == []
    [current] = own_ledger.claim([job_id], "another worker")
    assert own_ledger.settle([late]) == []
    valid = Succeeded(*claimed(own_ledger), '"valid"')
    assert own_ledger.settle([late, valid]) == [valid]
    stored = found(own_ledger, job_id)
    assert (stored.status, stored.attempt, stored.result) == (Status.RUNNING, current.attempt, None)
    assert [one.times for one in fault_counts(own_ledger.database) if one.what is FaultKind.LATE_RESULT] == [
        3
    ]


def is_no_longer_running(ledger: Ledger, job_id: str) -> bool:
    take_back(ledger)
    return found(ledger, job_id).status is not Status.RUNNING


@pytest.mark.parametrize("fields", [{}, {"delay": timedelta(hours=1)}])
def test_a_waiting_job_is_cancelled_and_never_claimed(own_ledger: Ledger, fields: dict[str, Any]) -> None:
    job_id = accepted(own_ledger, **fields)
    own_ledger.cancel(job_id)
    assert found(own_ledger, job_id).status is Status.CANCELLED
    assert own_ledger.claim([job_id], "worker") == []


def test_what_runs_or_has_ended_is_not_cancelled(own_ledger: Ledger) -> None:
    running, _ = claimed(own_ledger)
    for job_id in (running, dead(own_ledger)):
        with pytest.raises(IllegalMoveError, match="cannot be cancelled"):
            own_ledger.cancel(job_id)
    with pytest.raises(JobNotFoundError):
        own_ledger.cancel(new_id())


def test_a_replay_starts_the_count_anew_and_keeps_the_numbering(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger)
    assert own_ledger.replay(job_id).id == job_id
    stored = found(own_ledger, job_id)
    assert (stored.status, stored.replays, stored.failures, stored.attempt) == (Status.QUEUED, 1, 0, 1)
    [again] = own_ledger.claim([job_id], "worker")
    assert again.attempt == 2


def test_only_a_dead_job_is_replayed(own_ledger: Ledger) -> None:
    queued, (running, _) = accepted(own_ledger), claimed(own_ledger)
    for job_id in (queued, running):
        with pytest.raises(IllegalMoveError, match="only a dead job"):
            own_ledger.replay(job_id)
    with pytest.raises(JobNotFoundError):
        own_ledger.replay(new_id())


def test_a_replay_does_not_double_a_unique_job(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger, unique_key="u")
    accepted(own_ledger, unique_key="u")
    with pytest.raises(IllegalMoveError, match="unique key"):
        own_ledger.replay(job_id)
    assert found(own_ledger, job_id).status is Status.DEAD


def test_a_job_that_is_too_late_is_not_claimed_but_expires(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger, expires_in=timedelta(milliseconds=1))
    wait_until(lambda: expire(own_ledger), 5, "the job to expire")
    assert own_ledger.claim([job_id], "worker") == []
    assert found(own_ledger, job_id).status is Status.EXPIRED


def test_what_is_too_late_and_has_not_expired_yet_is_left_alone_by_itself_and_in_a_group(
    own_ledger: Ledger,
) -> None:
    late, begun = [accepted(own_ledger) for _ in range(2)], claimed(own_ledger)[0]
    own_ledger.settle([HandedBack(begun, 1, "its worker stops")])
    for job_id in (*late, begun):
        let_time_pass(own_ledger, job_id)
    in_time = accepted(own_ledger, expires_in=timedelta(hours=1))
    assert own_ledger.claim(late[:1], "worker") == []
    assert own_ledger.claim([begun], "worker") == []
    assert [job.id for job in own_ledger.claim([*late, begun, in_time], "worker")] == [in_time]
    assert {found(own_ledger, job_id).status for job_id in [*late, begun]} == {Status.QUEUED}
    assert expire(own_ledger) == 3


def let_time_pass(ledger: Ledger, job_id: str) -> None:
    """Leave a job as it is when its `expires_in` has just passed."""
    with ledger.database.writing() as connection:
        this_one = update(job_table).where(job_table.c.id == job_id)
        connection.execute(this_one.values(expires_at=db_now(plus=-timedelta(milliseconds=1))))


def expire(ledger: Ledger) -> int:
    with ledger.database.writing() as connection:
        return duties.expire_late(connection, 100)


def test_no_retry_begins_after_the_time_and_the_job_keeps_its_failure(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    own_ledger.settle([Failed(job_id, attempt, FAILURE, retry_in=timedelta(hours=1))])
    let_time_pass(own_ledger, job_id)
    assert expire(own_ledger) == 1
    expired = found(own_ledger, job_id)
    assert (expired.status, expired.attempt) == (Status.EXPIRED, 1)
    assert expired.failure is not None
    assert expired.failure.type == FAILURE.type


def test_an_attempt_that_runs_when_the_time_is_over_goes_on_and_its_outcome_counts(
    own_ledger: Ledger,
) -> None:
    job_id, attempt = claimed(own_ledger)
    let_time_pass(own_ledger, job_id)
    assert expire(own_ledger) == 0
    own_ledger.settle([Succeeded(job_id, attempt, "1")])
    assert found(own_ledger, job_id).status is Status.SUCCEEDED


def test_a_job_that_is_lost_with_its_worker_after_the_time_is_not_run_again(own_ledger: Ledger) -> None:
    job_id, _ = claimed(own_ledger)
    let_time_pass(own_ledger, job_id)
    wait_until(lambda: take_back(own_ledger), 5, "its lease to run out")
    assert own_ledger.claim([job_id], "another") == []
    assert expire(own_ledger) == 1


def test_a_replay_has_no_time_to_be_over(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger)
    let_time_pass(own_ledger, job_id)
    own_ledger.replay(job_id)
    assert expire(own_ledger) == 0
    assert len(own_ledger.claim([job_id], "worker")) == 1


def due(ledger: Ledger) -> list[Any]:
    with ledger.database.writing() as connection:
        return duties.enqueue_due(connection, 100, SOON)


def test_an_attempt_that_never_began_was_none(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    own_ledger.settle([NotStarted(job_id, attempt)])
    job = found(own_ledger, job_id)
    assert (job.status, job.attempt, job.started_at, job.lease_until) == (Status.QUEUED, 0, None, None)
    [again] = own_ledger.claim([job_id], "w")
    assert again.attempt == 1
    assert own_ledger.settle([NotStarted(job_id, 7)]) == [], "another attempt is nothing of ours"
