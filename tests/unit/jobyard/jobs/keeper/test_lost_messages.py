"""Which messages count as lost: what a broker has delivered proves it, and a long wait does not."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job
from jobyard.jobs.keeper import duties
from jobyard.jobs.keeper.lost_messages import find_lost_messages
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings
from jobyard.settings.sections import BrokerSettings
from tests.support.ledger_jobs import SOON, accepted

REDIS = Settings(broker=BrokerSettings(url="redis://127.0.0.1:1/0"))
CLASSIC = Settings(broker=BrokerSettings(url="amqp://127.0.0.1:1/"))
QUORUM = Settings(broker=BrokerSettings(url="amqp://127.0.0.1:1/", queue_type="quorum"))
SQS = Settings(broker=BrokerSettings(url="sqs://?region=eu-central-1"))
by_priority = pytest.mark.parametrize("settings", [REDIS, CLASSIC], ids=["redis", "classic"])
by_age = pytest.mark.parametrize("settings", [QUORUM, SQS], ids=["quorum", "sqs"])
everywhere = pytest.mark.parametrize(
    "settings", [REDIS, CLASSIC, QUORUM, SQS], ids=["redis", "classic", "quorum", "sqs"]
)


def seconds_ago(seconds: float) -> Any:
    return db_now(plus=-timedelta(seconds=seconds))


def waiting(ledger: Ledger, published: float, *, resend_in: float = -1, **fields: Any) -> str:
    """Accept a job that was published so many seconds ago, and may be published again."""
    job_id = accepted(ledger, **fields)
    ledger.mark_published([job_id])
    change(ledger, job_id, published_at=seconds_ago(published), resend_at=seconds_ago(-resend_in))
    return job_id


def running(ledger: Ledger, published: float | None, claimed: float, **fields: Any) -> str:
    """Accept a job that was published and claimed so many seconds ago; None: claimed before it was noted."""
    job_id = accepted(ledger, **fields)
    ledger.claim([job_id], "worker")
    published_at = None if published is None else seconds_ago(published)
    change(ledger, job_id, published_at=published_at, started_at=seconds_ago(claimed))
    return job_id


def change(ledger: Ledger, job_id: str, **values: Any) -> None:
    with ledger.database.writing() as connection:
        connection.execute(update(job).where(job.c.id == job_id).values(values))


def lost(ledger: Ledger, settings: Settings, empty: tuple[str, ...] = ()) -> list[str]:
    with ledger.database.reading() as connection:
        messages = find_lost_messages(connection, empty, settings)
    with ledger.database.writing() as connection:
        return sorted(one.id for one in duties.republish_lost_messages(connection, 100, SOON, messages))


@everywhere
def test_a_long_wait_proves_nothing(own_ledger: Ledger, settings: Settings) -> None:
    for priority in (0, 4, 9):
        waiting(own_ledger, 1000, priority=priority)
    assert lost(own_ledger, settings) == []
    running(own_ledger, 2000, 1500, priority=4)
    assert lost(own_ledger, settings) == []


@everywhere
def test_an_empty_queue_has_lost_what_waits_in_it(own_ledger: Ledger, settings: Settings) -> None:
    found = [waiting(own_ledger, 40, priority=priority) for priority in (9, 4, 0)]
    waiting(own_ledger, 40, queue="email")
    waiting(own_ledger, 1, resend_in=29)
    assert lost(own_ledger, settings, ("default",)) == found


@everywhere
def test_a_job_of_the_same_priority_that_was_published_later_proves_it(
    own_ledger: Ledger, settings: Settings
) -> None:
    old, young = waiting(own_ledger, 40), waiting(own_ledger, 31)
    waiting(own_ledger, 40, queue="email")
    running(own_ledger, 33, 1)
    assert lost(own_ledger, settings) == [old]
    own_ledger.mark_published([old])
    running(own_ledger, 20, 1)
    assert lost(own_ledger, settings) == [young]


@everywhere
@pytest.mark.parametrize("fields", [{"publish_count": 2}, {"attempt": 2}], ids=str)
def test_a_job_that_may_have_come_by_an_older_message_proves_nothing_by_its_age(
    own_ledger: Ledger, settings: Settings, fields: dict[str, int]
) -> None:
    waiting(own_ledger, 40)
    change(own_ledger, running(own_ledger, 20, 1), **fields)
    assert lost(own_ledger, settings) == []


@by_priority
def test_a_less_urgent_job_that_was_fetched_while_it_waited_proves_it(
    own_ledger: Ledger, settings: Settings
) -> None:
    urgent = [waiting(own_ledger, 40, priority=priority) for priority in (9, 5)]
    waiting(own_ledger, 40, priority=3)
    waiting(own_ledger, 40, priority=9, queue="email")
    running(own_ledger, 2000, 1, priority=4)
    assert lost(own_ledger, settings) == urgent
    own_ledger.mark_published(urgent)
    assert lost(own_ledger, settings) == [], "published again just now"


@by_priority
def test_what_was_lost_twice_is_published_again_as_soon_as_at_the_first_time(
    own_ledger: Ledger, settings: Settings
) -> None:
    job_id = accepted(own_ledger, priority=9)
    for _ in range(3):
        own_ledger.mark_published([job_id])
    with own_ledger.database.reading() as connection:
        row = connection.execute(job.select().where(job.c.id == job_id)).one()
    patience = own_ledger._settings.keeper.resend_after
    assert abs(row.resend_at - row.published_at - patience) < timedelta(milliseconds=5)
    change(own_ledger, job_id, published_at=seconds_ago(31), resend_at=seconds_ago(1))
    running(own_ledger, 2000, 1, priority=0)
    assert lost(own_ledger, settings) == [job_id]


@by_priority
def test_a_less_urgent_job_that_its_worker_claimed_late_proves_nothing(
    own_ledger: Ledger, settings: Settings
) -> None:
    waiting(own_ledger, 40, priority=9)
    running(own_ledger, 2000, 25, priority=4)  # it may have been fetched 45 seconds ago
    assert lost(own_ledger, settings) == []


@by_priority
def test_urgent_jobs_that_still_arrive_in_their_order_are_not_lost(
    own_ledger: Ledger, settings: Settings
) -> None:
    waiting(own_ledger, 100, priority=9)
    running(own_ledger, 2000, 10, priority=4)  # held up in its worker for more than a minute
    running(own_ledger, 101, 5, priority=9)
    assert lost(own_ledger, settings) == []


@by_priority
def test_an_urgent_job_that_ran_at_once_proves_that_older_ones_are_lost(
    own_ledger: Ledger, settings: Settings
) -> None:
    old = waiting(own_ledger, 40, priority=9)
    running(own_ledger, 2000, 10, priority=4)
    running(own_ledger, None, 0, priority=9)
    assert lost(own_ledger, settings) == [old]


@by_age
def test_a_broker_without_priorities_delivers_by_age_in_each_queue_of_its_own(
    own_ledger: Ledger, settings: Settings
) -> None:
    for priority in (3, 9):
        waiting(own_ledger, 40, priority=priority)
    running(own_ledger, 2000, 1, priority=0)
    assert lost(own_ledger, settings) == [], "it came before them"


def test_bands_and_queues_without_priorities_are_overtaken_by_any_priority(own_ledger: Ledger) -> None:
    usual, urgent = waiting(own_ledger, 40, priority=3), waiting(own_ledger, 40, priority=9)
    running(own_ledger, 20, 1, priority=0)
    assert lost(own_ledger, QUORUM) == [usual]
    assert lost(own_ledger, SQS) == [urgent]


def test_looking_for_what_is_lost_where_nothing_is_writes_nothing(own_ledger: Ledger) -> None:
    waiting(own_ledger, 40)
    running(own_ledger, 2000, 1)
    with own_ledger.database.reading() as connection:
        assert find_lost_messages(connection, ("email",), REDIS) == []
