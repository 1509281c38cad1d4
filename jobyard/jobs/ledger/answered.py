"""External jobs that wait for an answer: which they are, and making one due whose answer has come."""

from collections.abc import Collection, Sequence

from sqlalchemy import select, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import has_status, job
from jobyard.jobs.job import Status


def waiting_jobs(database: LedgerDatabase, tasks: Collection[str], after: str, limit: int) -> list[str]:
    """Return the ids of the jobs of these tasks that were put off, in their order, after an id."""
    statement = (
        select(job.c.id)
        .where(has_status(Status.RETRYING), job.c.task.in_(sorted(tasks)), job.c.run_at > db_now())
        .order_by(job.c.id)
        .limit(limit)
    )
    with database.reading() as connection:
        return list(connection.execute(statement.where(job.c.id > after) if after else statement).scalars())


def make_due(database: LedgerDatabase, job_ids: Sequence[str]) -> None:
    """Let the keeper queue these jobs now, those that still wait."""
    with database.writing() as connection:
        connection.execute(
            update(job).where(job.c.id.in_(job_ids), job.c.status == Status.RETRYING).values(run_at=db_now())
        )
