"""What a person can do with a dead job, one or many, and that it is all written down."""

from datetime import timedelta

import pytest

from jobyard.jobs.errors import IllegalMoveError, JobNotFoundError, ReplayNotFoundError
from jobyard.jobs.job import Cause, Failed, Failure, InterventionKind, Status, Succeeded, new_id
from jobyard.jobs.ledger import Ledger, dead_letters, pruning
from jobyard.jobs.ledger.interventions import interventions
from jobyard.jobs.ledger.replay_orders import (
    ReplayStatus,
    advance_replay,
    get_replay,
    list_replays,
    order_replay,
    refusals,
    running_replays,
    stop_replay,
)
from jobyard.jobs.reading.job_filter import JobFilter
from tests.support.ledger_jobs import SOON, accepted, claimed, dead, found


def die(ledger: Ledger, cause: Cause = Cause.EXCEPTION, kind: str = "ValueError", **fields: object) -> str:
    job_id, attempt = claimed(ledger, **fields)
    ledger.settle([Failed(job_id, attempt, Failure(cause, kind, f"words of {job_id}"), retry_in=None)])
    return job_id


def test_an_edited_payload_takes_the_old_ones_place_and_the_difference_is_kept(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger, payload='{"to":["a"],"n":1,"same":true}')
    own_ledger.replay(job_id, '{"to":["b","c"],"same":true}', "wrong address")
    assert found(own_ledger, job_id).payload == '{"to":["b","c"],"same":true}'
    [note] = interventions(own_ledger.database, job_id)
    assert (note.kind, note.reason) == (InterventionKind.REPLAYED, "wrong address")
    assert note.difference == [
        {"path": "/to/0", "before": "a", "after": "b"},
        {"path": "/to/1", "before": None, "after": "c"},
        {"path": "/n", "before": 1, "after": None},
    ]


def test_a_replay_as_it_is_notes_no_difference(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger)
    own_ledger.replay(job_id)
    [note] = interventions(own_ledger.database, job_id)
    assert note.difference is None


def test_a_discarded_job_stays_with_its_failure_and_the_reason(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger)
    own_ledger.discard(job_id, "a test order")
    job = found(own_ledger, job_id)
    assert job.status is Status.CANCELLED
    assert job.failure is not None
    [note] = interventions(own_ledger.database, job_id)
    assert (note.kind, note.reason) == (InterventionKind.DISCARDED, "a test order")


def test_only_a_dead_job_is_discarded(own_ledger: Ledger) -> None:
    with pytest.raises(IllegalMoveError, match="discarded"):
        own_ledger.discard(accepted(own_ledger), "no")
    with pytest.raises(JobNotFoundError):
        own_ledger.discard(new_id(), "no")


def test_dead_jobs_are_grouped_by_how_they_died(own_ledger: Ledger) -> None:
    for _ in range(3):
        die(own_ledger)
    latest = die(own_ledger)
    die(own_ledger, Cause.LOST_WORKER, "WorkerLost")
    die(own_ledger, task="bad.other")
    groups = dead_letters.causes(own_ledger.database, JobFilter(status=[Status.DEAD]))
    first = groups[0]
    assert (first.task, first.cause, first.type, first.count) == (
        "bad.deed",
        Cause.EXCEPTION,
        "ValueError",
        4,
    )
    assert (first.example, first.message) == (latest, f"words of {latest}")
    assert first.first_at <= first.last_at
    assert len(groups) == 3
    only = dead_letters.causes(own_ledger.database, JobFilter(status=[Status.DEAD], cause=Cause.LOST_WORKER))
    assert [group.count for group in only] == [1]


def order(ledger: Ledger, job_ids: list[str], *, is_canary: bool = False) -> str:
    with ledger.database.writing() as connection:
        return order_replay(connection, job_ids, is_canary=is_canary, actor="key:0", reason="mended")


def advance(ledger: Ledger, rate: float = 1_000_000, most: int = 1000) -> list[str]:
    orders = running_replays(ledger.database)
    with ledger.database.writing() as connection:
        return [job.id for one in orders for job in advance_replay(connection, one, rate, most, SOON)]


def end(ledger: Ledger, job_ids: list[str], *, well: bool) -> None:
    for job in ledger.claim(job_ids, "worker"):
        failed = Failed(job.id, job.attempt, Failure(Cause.EXCEPTION, "E", "again"), retry_in=None)
        ledger.settle([Succeeded(job.id, job.attempt, "{}") if well else failed])


def test_an_order_replays_what_is_dead_and_says_why_the_rest_is_not(own_ledger: Ledger) -> None:
    gone, waiting, unknown = dead(own_ledger), accepted(own_ledger), new_id()
    replay_id = order(own_ledger, [gone, waiting, unknown, gone])
    assert advance(own_ledger) == [gone]
    advance(own_ledger)
    state = get_replay(own_ledger.database, replay_id)
    assert (state.status, state.total, state.released, state.refused) == (ReplayStatus.DONE, 3, 1, 2)
    assert set(refusals(own_ledger.database, replay_id, 10)) == {waiting, unknown}
    end(own_ledger, [gone], well=True)
    assert get_replay(own_ledger.database, replay_id).succeeded == 1
    [note] = interventions(own_ledger.database, gone)
    assert (note.actor, note.reason) == ("key:0", "mended")
    assert (state.stopped_by, state.stop_reason) == (None, None)


def test_two_dead_jobs_with_one_unique_key_are_not_both_replayed(own_ledger: Ledger) -> None:
    first, second = dead(own_ledger, unique_key="u"), dead(own_ledger, unique_key="u")
    replay_id = order(own_ledger, [first, second])
    assert advance(own_ledger) == [first]
    assert refusals(own_ledger.database, replay_id, 10) == {
        second: "another job with its unique key is on its way"
    }


def test_no_more_are_replayed_than_the_rate_allows(own_ledger: Ledger) -> None:
    jobs = [dead(own_ledger) for _ in range(20)]
    order(own_ledger, jobs)
    assert len(advance(own_ledger, rate=5)) == 5
    assert len(advance(own_ledger, rate=5)) < 5


def test_a_canary_goes_in_three_stages(own_ledger: Ledger) -> None:
    jobs = [dead(own_ledger) for _ in range(30)]
    replay_id = order(own_ledger, jobs, is_canary=True)
    for expected in (1, 3, 26):
        released = advance(own_ledger)
        assert len(released) == expected
        assert advance(own_ledger) == [], "the stage has not ended yet"
        end(own_ledger, released, well=True)
        advance(own_ledger)
    state = get_replay(own_ledger.database, replay_id)
    assert (state.status, state.succeeded) == (ReplayStatus.DONE, 30)


def test_a_canary_that_dies_again_stops_the_order(own_ledger: Ledger) -> None:
    jobs = [dead(own_ledger) for _ in range(30)]
    replay_id = order(own_ledger, jobs, is_canary=True)
    end(own_ledger, advance(own_ledger), well=True)
    advance(own_ledger)
    second = advance(own_ledger)
    end(own_ledger, second[:1], well=False)
    end(own_ledger, second[1:], well=True)
    assert advance(own_ledger) == []
    state = get_replay(own_ledger.database, replay_id)
    assert (state.status, state.released, state.dead_again) == (ReplayStatus.STOPPED, 4, 1)
    assert state.ended_at is not None
    assert (state.actor, state.stopped_by) == ("key:0", "keeper")
    assert state.stop_reason == f"job {second[0]} is dead again: exception (E)"
    assert [found(own_ledger, job_id).status for job_id in jobs[4:]] == [Status.DEAD] * 26


def test_an_order_that_was_stopped_releases_nothing_more(own_ledger: Ledger) -> None:
    jobs = [dead(own_ledger) for _ in range(4)]
    replay_id = order(own_ledger, jobs)
    assert len(advance(own_ledger, most=2)) == 2
    with own_ledger.database.writing() as connection:
        stop_replay(connection, replay_id, "key:1", "wrong ones")
    assert advance(own_ledger) == []
    with own_ledger.database.writing() as connection:
        stop_replay(connection, replay_id, "key:2", "too late")
    [stopped] = list_replays(own_ledger.database, 10)
    assert (stopped.status, stopped.actor, stopped.reason) == (ReplayStatus.STOPPED, "key:0", "mended")
    assert (stopped.stopped_by, stopped.stop_reason) == ("key:1", "wrong ones")


def test_orders_that_ended_long_ago_are_forgotten(own_ledger: Ledger) -> None:
    ended, running = order(own_ledger, []), order(own_ledger, [dead(own_ledger)])
    with own_ledger.database.writing() as connection:
        stop_replay(connection, ended, "key:1", None)
        pruning.forget_old(connection, timedelta(hours=1))
    assert len(list_replays(own_ledger.database, 10)) == 2
    with own_ledger.database.writing() as connection:
        pruning.forget_old(connection, -timedelta(hours=1))
    assert [one.id for one in list_replays(own_ledger.database, 10)] == [running]


def test_an_unknown_order_is_said_to_be_unknown(own_ledger: Ledger) -> None:
    with pytest.raises(ReplayNotFoundError):
        get_replay(own_ledger.database, new_id())
    with own_ledger.database.writing() as connection, pytest.raises(ReplayNotFoundError):
        stop_replay(connection, new_id(), "key:1", None)


def test_a_job_of_a_task_that_nobody_knows_waits_and_is_dead_in_the_end(own_ledger: Ledger) -> None:
    fresh, old = accepted(own_ledger), accepted(own_ledger)
    unknown = Failure(Cause.UNKNOWN_TASK, "UnknownTask", "nobody knows it")
    own_ledger.put_off_unknown([fresh, old], unknown)
    assert (found(own_ledger, fresh).status, found(own_ledger, fresh).failure) == (Status.QUEUED, unknown)
    own_ledger._settings = own_ledger._settings.model_copy(
        update={"keeper": own_ledger._settings.keeper.model_copy(update={"unknown_for": timedelta(0)})}
    )
    own_ledger.put_off_unknown([old], unknown)
    job = found(own_ledger, old)
    assert (job.status, job.failure) == (Status.DEAD, unknown)
