"""What is deleted when its time is up, what is left, and what is answered about it afterwards."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job, pruned
from jobyard.jobs.errors import JobNotFoundError, JobPrunedError
from jobyard.jobs.job import Status, Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.pruning import REMEMBERED_FOR, forget_old, prune
from jobyard.jobs.reading.job_queries import get_attempts, get_job
from jobyard.settings.retention import RetentionRule
from tests.unit.jobyard.jobs.ledger.test_ledger import accepted, claimed, dead

DAY = timedelta(days=1)


def ended(ledger: Ledger, ago: timedelta, *, well: bool = True, task: str = "bad.deed") -> str:
    """Accept a job that ended so long ago."""
    if well:
        job_id, attempt = claimed(ledger, task=task)
        ledger.settle([Succeeded(job_id, attempt, "1")])
    else:
        job_id = dead(ledger, task=task, tags=("t",))
    with ledger.database.writing() as connection:
        of_it = update(job).where(job.c.id == job_id)
        connection.execute(of_it.values(finished_at=db_now(plus=-ago)))
    return job_id


def prune_all(ledger: Ledger, *rules: str, limit: int = 100) -> int:
    parsed, deleted = [RetentionRule.parse(rule) for rule in rules], 0
    for rule in parsed:
        after = None
        while True:
            with ledger.database.writing() as connection:
                of_slice = prune(connection, rule, parsed, limit, after)
            deleted, after = deleted + of_slice.jobs, of_slice.after
            if after is None:
                break
    return deleted


def left(ledger: Ledger) -> set[str]:
    with ledger.database.reading() as connection:
        return set(connection.execute(select(job.c.id)).scalars())


def test_what_ended_long_ago_goes_with_its_history_and_what_moves_stays(own_ledger: Ledger) -> None:
    old, young, moving = ended(own_ledger, 31 * DAY, well=False), ended(own_ledger, DAY), accepted(own_ledger)
    assert prune_all(own_ledger, "P30D") == 1
    assert left(own_ledger) == {young, moving}
    assert get_attempts(own_ledger.database, old) == []


def test_each_job_goes_by_the_rule_that_says_most_about_it(own_ledger: Ledger) -> None:
    def of_each_kind(ago: timedelta) -> dict[str, str]:
        return {
            "other": ended(own_ledger, ago),
            "other dead": ended(own_ledger, ago, well=False),
            "mail": ended(own_ledger, ago, task="email.send"),
            "mail dead": ended(own_ledger, ago, task="email.send", well=False),
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
        ended(own_ledger, (40 + number) * DAY, well=number % 2 == 0)
    assert prune_all(own_ledger, "P30D", "dead=P365D", limit=2) == 6
    assert len(left(own_ledger)) == 6


def test_a_pruned_job_is_known_to_have_been_here_and_no_other_is(own_ledger: Ledger) -> None:
    job_id, never = ended(own_ledger, 31 * DAY), new_id()
    prune_all(own_ledger, "P30D")
    with pytest.raises(JobPrunedError, match=r"was deleted on \d{4}-.*JOBYARD_LEDGER__RETENTION"):
        get_job(own_ledger.database, job_id)
    with pytest.raises(JobPrunedError):
        own_ledger.cancel(job_id)
    with pytest.raises(JobNotFoundError, match="was ever accepted") as error:
        get_job(own_ledger.database, never)
    assert not isinstance(error.value, JobPrunedError)


def test_that_is_forgotten_after_a_year(own_ledger: Ledger) -> None:
    job_id = ended(own_ledger, 31 * DAY)
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


def test_only_ends_are_pruned() -> None:
    from jobyard.jobs.job import FINAL
    from jobyard.settings.retention import ENDS

    assert {Status(end) for end in ENDS} == FINAL
