"""What is deleted when its time is up, what is left, and what is answered about it afterwards."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import declared_queue, job, pruned
from jobyard.jobs.errors import JobNotFoundError, JobPrunedError
from jobyard.jobs.job import Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.pruning import REMEMBERED_FOR, UNDECLARED_FOR, forget_old
from jobyard.jobs.reading.declared_queues import declare_queues, known_queues
from jobyard.jobs.reading.job_queries import get_attempts, get_job
from jobyard.settings.queues import Queue
from tests.support.ledger_jobs import DAY, accepted, dead, ended_ago, prune_all


def left(ledger: Ledger) -> set[str]:
    with ledger.database.reading() as connection:
        return set(connection.execute(select(job.c.id)).scalars())


def test_what_ended_long_ago_goes_with_its_history_and_what_moves_stays(own_ledger: Ledger) -> None:
    old, young, moving = (
        ended_ago(own_ledger, 31 * DAY, well=False),
        ended_ago(own_ledger, DAY),
        accepted(own_ledger),
    )
    assert prune_all(own_ledger, "P30D") == 1
    assert left(own_ledger) == {young, moving}
    assert get_attempts(own_ledger.database, old) == []


def test_each_job_goes_by_the_rule_that_says_most_about_it(own_ledger: Ledger) -> None:
    def of_each_kind(ago: timedelta) -> dict[str, str]:
        return {
            "other": ended_ago(own_ledger, ago),
            "other dead": ended_ago(own_ledger, ago, well=False),
            "mail": ended_ago(own_ledger, ago, task="email.send"),
            "mail dead": ended_ago(own_ledger, ago, task="email.send", well=False),
        }

    ages = {days: of_each_kind(days * DAY) for days in (1.5, 5, 20, 50, 100)}
    prune_all(own_ledger, "P10D", "dead=P30D", "email.send=P2D", "email.send/dead=P90D", limit=2)
    here = left(own_ledger)
    kept = {kind: [days for days, jobs in ages.items() if jobs[kind] in here] for kind in ages[5]}
    assert kept == {
        "other": [1.5, 5],
        "other dead": [1.5, 5, 20],
        "mail": [1.5],
        "mail dead": [1.5, 5, 20, 50],
    }


def test_slices_end_however_many_are_kept_in_between(own_ledger: Ledger) -> None:
    for number in range(12):
        ended_ago(own_ledger, (40 + number) * DAY, well=number % 2 == 0)
    assert prune_all(own_ledger, "P30D", "dead=P365D", limit=2) == 6
    assert len(left(own_ledger)) == 6


def test_a_pruned_job_is_known_to_have_been_here_and_no_other_is(own_ledger: Ledger) -> None:
    job_id, never = ended_ago(own_ledger, 31 * DAY), new_id()
    prune_all(own_ledger, "P30D")
    with pytest.raises(JobPrunedError, match=r"was deleted on \d{4}-.*JOBYARD_LEDGER__RETENTION"):
        get_job(own_ledger.database, job_id)
    with pytest.raises(JobPrunedError):
        own_ledger.cancel(job_id)
    with pytest.raises(JobNotFoundError, match="was ever accepted") as error:
        get_job(own_ledger.database, never)
    assert not isinstance(error.value, JobPrunedError)


def test_that_is_forgotten_after_a_year(own_ledger: Ledger) -> None:
    job_id = ended_ago(own_ledger, 31 * DAY)
    prune_all(own_ledger, "P30D")
    with own_ledger.database.writing() as connection:
        forget_old(connection, 30 * DAY)
    with pytest.raises(JobPrunedError):
        get_job(own_ledger.database, job_id)
    with own_ledger.database.writing() as connection:
        connection.execute(update(pruned).values(pruned_at=db_now(plus=-REMEMBERED_FOR - DAY)))
        forget_old(connection, 30 * DAY)
    with pytest.raises(JobNotFoundError) as error:
        get_job(own_ledger.database, job_id)
    assert not isinstance(error.value, JobPrunedError)


def test_a_queue_that_no_process_declares_and_no_job_needs_is_forgotten(own_ledger: Ledger) -> None:
    before = known_queues(own_ledger.database).keys()
    names = ("old", "old-with-a-dead-letter", "old-that-waits", "declared-yesterday")
    new = {name: Queue(name) for name in names}
    declare_queues(own_ledger.database, new)
    ended_ago(own_ledger, DAY, queue="old")
    accepted(own_ledger, queue="old-that-waits")
    dead(own_ledger, queue="old-with-a-dead-letter")
    is_old = declared_queue.c.name.startswith("old")
    with own_ledger.database.writing() as connection:
        connection.execute(update(declared_queue).values(seen_at=db_now(plus=-UNDECLARED_FOR + DAY)))
        connection.execute(
            update(declared_queue).where(is_old).values(seen_at=db_now(plus=-UNDECLARED_FOR - DAY))
        )
        forget_old(connection, 30 * DAY)
    assert known_queues(own_ledger.database).keys() == before | new.keys() - {"old"}


def test_only_ends_are_pruned() -> None:
    from jobyard.jobs.job import FINAL
    from jobyard.settings.retention import ENDS

    assert {Status(end) for end in ENDS} == FINAL
