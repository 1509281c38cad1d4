"""Finds jobs by the ids that their callers gave them: those of stock Celery messages."""

from collections.abc import Sequence

from sqlalchemy import select

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import job
from jobyard.jobs.job import NewJob

_PREFIX = "celery:"


def with_external_id(new_job: NewJob, external_id: str) -> NewJob:
    """Return a new job with its caller's own id, under which it is accepted once."""
    return new_job._replace(idempotency_key=f"{_PREFIX}{external_id}", request_hash="celery")


def ids_by_external_id(database: LedgerDatabase, external_ids: Sequence[str]) -> dict[str, str]:
    """Return the ids of the jobs that have these ids of their callers, by the latter."""
    keys = [f"{_PREFIX}{external_id}" for external_id in external_ids]
    statement = select(job.c.idempotency_key, job.c.id).where(job.c.idempotency_key.in_(keys))
    with database.reading() as connection:
        return {key.removeprefix(_PREFIX): id_ for key, id_ in connection.execute(statement)}
