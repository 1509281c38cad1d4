"""What the ledger gives out again when the yard moves to another broker, and in which order."""

from datetime import datetime, timedelta

from jobyard.jobs.job import QueuedJob
from jobyard.jobs.keeper.broker_move import (
    count_published,
    database_time,
    has_published,
    mark_unpublished,
)
from jobyard.jobs.keeper.duties import Duty, pending
from jobyard.jobs.ledger import Ledger
from tests.support.ledger_jobs import accepted, claimed, found
from tests.support.waiting import wait_until

LATER = timedelta(hours=1)
QUEUES = ("default", "email")


def taken(ledger: Ledger, limit: int = 100, again_after: timedelta = LATER) -> list[QueuedJob]:
    moment = database_time(ledger.database)
    with ledger.database.writing() as connection:
        return mark_unpublished(connection, moment, limit, again_after, QUEUES)


def published(ledger: Ledger, **fields: object) -> str:
    job_id = accepted(ledger, **fields)
    ledger.mark_published([job_id])
    return job_id


def test_what_is_queued_and_was_published_is_taken_once(own_ledger: Ledger) -> None:
    waiting = published(own_ledger)
    accepted(own_ledger)  # and never published: that is for the keeper
    accepted(own_ledger, delay=LATER)
    claimed(own_ledger)
    assert [job.id for job in taken(own_ledger)] == [waiting]
    assert taken(own_ledger) == []
    assert found(own_ledger, waiting).published_at is None


def test_the_most_urgent_come_first_and_of_those_the_oldest_of_each_queue(own_ledger: Ledger) -> None:
    old = published(own_ledger)
    wait_for_a_later_time(own_ledger)
    late = published(own_ledger)
    urgent_mail, urgent = published(own_ledger, priority=9, queue="email"), published(own_ledger, priority=9)
    idle = published(own_ledger, priority=0)
    order = [job.id for limit in (2, 1, 2) for job in taken(own_ledger, limit)]
    assert order == [urgent, urgent_mail, old, late, idle]


def test_what_was_published_after_the_moment_is_left_alone(own_ledger: Ledger) -> None:
    moment = wait_for_a_later_time(own_ledger)
    published(own_ledger, queue="email")
    assert not has_published(own_ledger.database, moment)
    with own_ledger.database.writing() as connection:
        assert mark_unpublished(connection, moment, 10, LATER, QUEUES) == []
    assert count_published(own_ledger.database) == {"email": 1}
    assert has_published(own_ledger.database, database_time(own_ledger.database))


def wait_for_a_later_time(ledger: Ledger) -> datetime:
    """Return the ledger's time, when it is over: SQLite's goes by milliseconds."""
    moment = database_time(ledger.database)
    wait_until(lambda: database_time(ledger.database) > moment, 5, "the clock to go on")
    return moment


def test_what_was_taken_and_not_published_is_soon_the_keepers(own_ledger: Ledger) -> None:
    published(own_ledger)
    taken(own_ledger, again_after=timedelta(milliseconds=50))

    def is_unsent() -> bool:
        with own_ledger.database.reading() as connection:
            return Duty.UNSENT in pending(connection)

    wait_until(is_unsent, 5, "the keeper to have it to do")
