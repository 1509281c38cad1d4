"""Jobs that a test brings into a state through the ledger itself, without a worker."""

from datetime import timedelta
from typing import Any

from sqlalchemy import update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job
from jobyard.jobs.job import Cause, Failed, Failure, Job, NewJob, Succeeded, new_id
from jobyard.jobs.keeper import duties
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.pruning import prune
from jobyard.jobs.reading.job_queries import get_job
from jobyard.settings.retention import RetentionRule

FAILURE = Failure(Cause.EXCEPTION, "ValueError", "as ordered", "the traceback")
SOON = timedelta(milliseconds=100)
DAY = timedelta(days=1)


def new(**fields: Any) -> NewJob:
    usual: dict[str, Any] = {"id": new_id(), "task": "bad.deed", "payload": "{}", "max_attempts": 3}
    return NewJob(**usual | fields)


def accepted(ledger: Ledger, **fields: Any) -> str:
    [acceptance] = ledger.accept([new(**fields)])
    return acceptance.job_id


def claimed(ledger: Ledger, **fields: Any) -> tuple[str, int]:
    job_id = accepted(ledger, **fields)
    [mine] = ledger.claim([job_id], "worker")
    return job_id, mine.attempt


def dead(ledger: Ledger, **fields: Any) -> str:
    job_id, attempt = claimed(ledger, **fields)
    ledger.settle([Failed(job_id, attempt, FAILURE, retry_in=None)])
    return job_id


def found(ledger: Ledger, job_id: str) -> Job:
    return get_job(ledger.database, job_id)


def take_back(ledger: Ledger, max_lost: int = 3) -> list[Any]:
    with ledger.database.writing() as connection:
        return duties.rescue_lost_jobs(connection, 100, max_lost, SOON)


def ended_ago(
    ledger: Ledger, ago: timedelta, *, well: bool = True, task: str = "bad.deed", queue: str = "default"
) -> str:
    """Accept a job that ended so long ago."""
    if well:
        job_id, attempt = claimed(ledger, task=task, queue=queue)
        ledger.settle([Succeeded(job_id, attempt, "1")])
    else:
        job_id = dead(ledger, task=task, queue=queue, tags=("t",))
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
