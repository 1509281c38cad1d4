"""Transactions that go past SQLAlchemy keep its promises: all or nothing, the same types, the same errors."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from jobyard.jobs.database import statement
from jobyard.jobs.errors import Interruption
from jobyard.jobs.job import NewJob, Status, Succeeded, Verdict, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from tests.support.waiting import wait_until


def new(**fields: Any) -> NewJob:
    usual: dict[str, Any] = {"id": new_id(), "task": "any", "payload": "{}", "max_attempts": 3}
    return NewJob(**usual | fields)


def test_a_claimed_job_has_the_types_that_the_ledger_knows(own_ledger: Ledger) -> None:
    handed_in = new(payload='{"ü": "%s %(a)s :b ?"}')
    own_ledger.accept([handed_in])
    [claimed] = own_ledger.claim([handed_in.id], "worker")
    known = get_job(own_ledger.database, handed_in.id)
    assert (claimed.id, claimed.payload, claimed.attempt) == (known.id, handed_in.payload, 1)
    assert claimed.created_at == known.created_at
    assert claimed.created_at.tzinfo is UTC
    assert own_ledger.settle([Succeeded(claimed.id, 1, "null")])


def test_a_refused_row_leaves_nothing_behind_and_nothing_locked(own_ledger: Ledger) -> None:
    good = new()
    with pytest.raises(IntegrityError) as refused:
        own_ledger.accept([good, new(max_attempts=None)])
    # The traceback still holds the driver's cursor, as a worker's does while it writes its log.
    assert refused.tb
    assert own_ledger.accept([good])[0].verdict is Verdict.NEW


def test_a_group_in_which_some_were_there_before_gets_the_rest_in(own_ledger: Ledger) -> None:
    first, second, third = new(unique_key="one"), new(), new(unique_key="one")
    own_ledger.accept([first])
    verdicts = [acceptance.verdict for acceptance in own_ledger.accept([first, second, third])]
    assert verdicts == [Verdict.NEW, Verdict.NEW, Verdict.DUPLICATE]
    assert get_job(own_ledger.database, second.id).status is Status.QUEUED


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_who_is_interrupted_before_the_commit_leaves_nothing_locked(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed = statement._execute

    def interrupted(*call: Any) -> NoReturn:
        executed(*call)
        raise Interruption

    [accepted] = own_ledger.accept([new()])
    with monkeypatch.context() as patch:
        patch.setattr(statement, "_execute", interrupted)
        with pytest.raises(Interruption):
            own_ledger.claim([accepted.job_id], "any")
    assert get_job(own_ledger.database, accepted.job_id).status is Status.QUEUED
    assert own_ledger.claim([accepted.job_id], "any")


@pytest.mark.postgresql
def test_connections_that_the_server_has_ended_are_not_used_again(postgresql_ledger: Ledger) -> None:
    postgresql_ledger.accept([new()])
    with postgresql_ledger.database.engine.connect() as one, postgresql_ledger.database.engine.connect():
        one.execution_options(isolation_level="AUTOCOMMIT")  # else it sees the same activity again and again
        pids = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        others = "AND pid <> pg_backend_pid()"
        one.execute(text(f"{pids} {others}"))
        left = text(f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() {others}")
        wait_until(lambda: one.execute(left).scalar_one() == 0, 10, "the server to end them")
    for _ in range(3):
        assert postgresql_ledger.accept([new()])[0].verdict is Verdict.NEW


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delay": timedelta(hours=1), "expires_in": timedelta(hours=2), "priority": 9, "queue": "email"},
        {"run_at": datetime(2100, 1, 1, tzinfo=UTC), "parent": "01890a5d-ac96-774b-bcce-b302099a8057"},
    ],
    ids=str,
)
def test_jobs_that_are_alike_are_written_as_each_by_itself(
    own_ledger: Ledger, options: dict[str, Any]
) -> None:
    """Groups of one kind take a shorter statement than mixed ones."""
    alike = [new(payload=f'{{"n":{n}}}', **options) for n in range(3)]
    mixed = [new(payload=f'{{"n":{n}}}', **options) for n in range(3)]
    own_ledger.accept(alike)
    own_ledger.accept([*mixed, new(task="other")])
    for one, other in zip(alike, mixed, strict=True):
        a, b = get_job(own_ledger.database, one.id), get_job(own_ledger.database, other.id)
        for name in ("created_at", "run_at", "expires_at"):
            ours, theirs = getattr(a, name), getattr(b, name)
            assert ours is theirs is None or abs(ours - theirs) < timedelta(seconds=10)
        passing: dict[str, Any] = {"id": "", "created_at": None, "run_at": None, "expires_at": None}
        assert replace(a, **passing) == replace(b, **passing)
        assert a.payload == one.payload
    assert own_ledger.accept(alike)[0].verdict is Verdict.NEW, "asked again it is the same"
