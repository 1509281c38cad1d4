"""What a statement looks at does not grow with the ledger, neither with its past nor with its queues."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import func, select, text, update

import jobyard.jobs.reading.search
from jobyard.jobs.clock import db_now, utc_now
from jobyard.jobs.database.schema import job
from jobyard.jobs.job import Cause, Failed, Failure, HandedBack, NewJob, NotStarted, Status, Succeeded, new_id
from jobyard.jobs.keeper import duties
from jobyard.jobs.keeper.lost_messages import find_lost_messages
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.dead_letters import causes
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import count_messages, queue_figures, queues_with_messages
from jobyard.jobs.reading.search import list_jobs
from tests.support.ledger_jobs import FAILURE, SOON, accepted, claimed, dead
from tests.support.looking import looking

ENDED: Final = 9_000
QUEUED: Final = 3_000
# More than a step may look at here, and less than a look through the queued jobs would be.
A_FEW: Final = 600
EXAMINED: Final = 20


@pytest.fixture
def old_ledger(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger that has a long past and nothing to do, and lists that look at 20 jobs in a step."""
    monkeypatch.setattr(jobyard.jobs.reading.search, "MAX_EXAMINED", EXAMINED)
    ids = [one.job_id for one in own_ledger.accept(many(ENDED, "bad.past"))]
    held = own_ledger.claim(ids, "long@gone/1")
    own_ledger.settle([Succeeded(one.id, one.attempt, "1") for one in held])
    analyze(own_ledger)
    return own_ledger


@pytest.fixture
def busy_ledger(old_ledger: Ledger) -> Ledger:
    """The same with a long queue, whose messages were sent long ago, and a job or two of every other kind."""
    dead(old_ledger)
    old_ledger.cancel(accepted(old_ledger, delay=timedelta(hours=1)))
    accepted(old_ledger, delay=timedelta(hours=1), tags=("rare",), parent=new_id())
    job_id, attempt = claimed(old_ledger)
    failure = Failure(Cause.TIME_LIMIT, "Slow", "too slow")
    old_ledger.settle([Failed(job_id, attempt, failure, timedelta(hours=1))])
    waiting = old_ledger.accept(many(QUEUED, "bad.crowd"))
    old_ledger.mark_published([one.job_id for one in waiting])
    with old_ledger.database.writing() as connection:
        long_ago = db_now(plus=-timedelta(hours=1))
        connection.execute(update(job).where(job.c.task == "bad.crowd").values(resend_at=long_ago))
    claimed(old_ledger)
    analyze(old_ledger)
    return old_ledger


def many(number: int, task: str) -> list[NewJob]:
    return [NewJob(id=new_id(), task=task, payload="{}", max_attempts=1) for _ in range(number)]


def analyze(ledger: Ledger) -> None:
    if ledger.database.engine.dialect.name == "postgresql":
        with ledger.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE job"))


def filters() -> Iterator[dict[str, Any]]:
    yield {}
    for status in Status:
        yield {"status": [status]}
        yield {"status": [status], "task": "bad.deed"}
        yield {"status": [status], "task": "bad.crowd", "until": utc_now()}
    yield {"status": [Status.QUEUED, Status.RUNNING, Status.DEAD]}
    yield from ({"task": task} for task in ("bad.past", "bad.crowd", "bad.deed", "no.such"))
    yield from ({"queue": "email"}, {"worker": "worker"}, {"payload": {"no": "such"}}, {"parent": new_id()})
    yield from ({"tag": "rare"}, {"tag": "none"}, {"cause": Cause.EXCEPTION}, {"error": "No"}, {"text": "no"})
    yield from ({"since": utc_now() + timedelta(hours=1)}, {"until": utc_now() - timedelta(hours=1)})
    hour_ago, in_an_hour = (utc_now() + timedelta(hours=hours) for hours in (-1, 1))
    yield from ({"ended_since": hour_ago}, {"ended_until": in_an_hour}, {"ended_since": in_an_hour})
    yield {"ended_until": hour_ago, "task": "bad.past"}
    yield {"status": [Status.DEAD], "ended_since": hour_ago, "text": "no"}
    yield {"status": [Status.DEAD], "task": "bad.deed", "error": "ValueError", "worker": "worker"}


def test_every_list_looks_at_a_few_jobs_however_many_there_are(busy_ledger: Ledger) -> None:
    for wanted in filters():
        with looking(busy_ledger.database) as look:
            list_jobs(busy_ledger.database, JobFilter(**wanted), 10)
        assert look.rows < A_FEW, wanted


def test_what_looks_through_a_table_is_seen_to(old_ledger: Ledger) -> None:
    with looking(old_ledger.database) as look, old_ledger.database.reading() as connection:
        connection.execute(select(func.count()).where(job.c.payload == "no such"))
    assert look.rows > A_FEW


def test_a_job_comes_goes_and_ends_without_a_look_at_the_others(busy_ledger: Ledger) -> None:
    new = many(10, "bad.deed")
    ids = [one.id for one in new]
    held: list[tuple[str, int]] = []
    steps: dict[str, Callable[[], Any]] = {
        "accept": lambda: busy_ledger.accept(new),
        "mark": lambda: busy_ledger.mark_published(ids),
        "claim": lambda: held.extend((one.id, one.attempt) for one in busy_ledger.claim(ids, "w")),
        "renew": lambda: busy_ledger.renew(held),
        "hand back": lambda: busy_ledger.settle([HandedBack(*held.pop(), "going"), NotStarted(*held.pop())]),
        "fail": lambda: busy_ledger.settle([Failed(*held.pop(), FAILURE, retry) for retry in (None, SOON)]),
        "succeed": lambda: busy_ledger.settle([Succeeded(*one, "1") for one in held]),
        "put off": lambda: busy_ledger.put_off_unknown(ids[-2:], FAILURE),
        "cancel": lambda: busy_ledger.cancel(ids[-1]),
    }
    for what, step in steps.items():
        with looking(busy_ledger.database) as look:
            step()
        assert look.rows < A_FEW, what
    assert len(held) == 6


def test_the_keeper_looks_at_what_it_takes(busy_ledger: Ledger) -> None:
    database = busy_ledger.database
    for empty_queues, lost in (([], 0), (["images"], 0), (["default", "email"], 10)):
        with looking(database) as look:
            with database.reading() as connection:
                duties.pending(connection)
            with database.writing() as connection:
                messages = find_lost_messages(connection, empty_queues, busy_ledger._settings)
                assert len(duties.republish_lost_messages(connection, 10, SOON, messages)) == lost
                duties.enqueue_due(connection, 10, SOON)
                duties.republish_unsent(connection, 10, SOON)
                duties.rescue_lost_jobs(connection, 10, 3, SOON)
                duties.expire_late(connection, 10)
        assert look.rows < A_FEW, empty_queues


def test_the_queues_with_messages_are_found_without_a_look_at_each_job(busy_ledger: Ledger) -> None:
    with looking(busy_ledger.database) as look:
        found = queues_with_messages(busy_ledger.database)
        assert [count_messages(busy_ledger.database, queue, at_most=10) for queue in found[:1]] == [10]
    assert look.rows < A_FEW


def test_what_is_counted_by_status_is_counted_without_a_look_at_the_past(old_ledger: Ledger) -> None:
    dead(old_ledger)
    claimed(old_ledger)
    accepted(old_ledger)
    accepted(old_ledger, delay=timedelta(hours=1))
    with looking(old_ledger.database) as look:
        assert len(queue_figures(old_ledger.database)["default"].counts) == 3
        assert [one.count for one in causes(old_ledger.database, JobFilter(status=[Status.DEAD]))] == [1]
    assert look.rows < A_FEW
