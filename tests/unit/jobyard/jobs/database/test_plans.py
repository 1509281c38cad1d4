"""What the keeper asks reads what is due, and not all that waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event

from jobyard.jobs.clock import utc_now
from jobyard.jobs.keeper import duties
from jobyard.jobs.keeper.lost_messages import LostMessages, find_lost_messages
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings
from tests.support.ledger_jobs import claimed

SOON = timedelta(seconds=2)
LOOKS: dict[str, Callable[[Connection], object]] = {
    "what is pending": duties.pending,
    "due": lambda c: duties.enqueue_due(c, 10, SOON),
    "never published": lambda c: duties.republish_unsent(c, 10, SOON),
    "lost with a worker": lambda c: duties.rescue_lost_jobs(c, 10, 3, SOON),
    "not run in time": lambda c: duties.expire_late(c, 10),
    "lost in an empty queue": lambda c: find_lost_messages(c, ["default"], Settings()),
    "lost beside others": lambda c: find_lost_messages(c, [], Settings()),
    "published again, of a queue": lambda c: duties.republish_lost_messages(
        c, 10, SOON, [LostMessages("default", None, utc_now())]
    ),
    "published again, of a priority": lambda c: duties.republish_lost_messages(
        c, 10, SOON, [LostMessages("default", 9, utc_now())]
    ),
}
# The one question about jobs by their status alone: those that run are few.
WHAT_RUNS = "max(job.started_at)"


@contextmanager
def explained(ledger: Ledger, explain: str) -> Iterator[tuple[Connection, list[str]]]:
    """Give a connection, and the plans of what is executed with it."""
    plans: list[str] = []
    with ledger.database.engine.begin() as connection:

        def note(_c: Connection, _cursor: object, statement: str, parameters: object, *_: object) -> None:
            if statement.startswith(("SELECT", "UPDATE")) and WHAT_RUNS not in statement:
                rows = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
                plans.extend(str(row[-1]) for row in rows.execute(f"{explain} {statement}", parameters))

        event.listen(connection, "before_cursor_execute", note)
        yield connection, plans


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_no_look_of_the_keeper_reads_all_that_waits(own_ledger: Ledger, look: str) -> None:
    claimed(own_ledger)  # so that there is something to compare with
    with explained(own_ledger, "EXPLAIN QUERY PLAN") as (connection, plans):
        LOOKS[look](connection)
    assert plans
    assert [step for step in plans if step == "SCAN job" or "status_id" in step] == []


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_sqlite_reads_what_is_due_in_its_order(own_ledger: Ledger) -> None:
    with explained(own_ledger, "EXPLAIN QUERY PLAN") as (connection, plans):
        LOOKS["due"](connection)
    assert [step for step in plans if "ix_job_due" in step]
    assert [step for step in plans if "ORDER BY" in step] == []


@pytest.mark.postgresql
def test_postgresql_reads_what_is_due_in_its_order(postgresql_ledger: Ledger) -> None:
    with explained(postgresql_ledger, "EXPLAIN") as (connection, plans):
        LOOKS["due"](connection)
    assert [step for step in plans if "ix_job_due" in step]
    assert [step for step in plans if "Sort" in step] == []
