"""Queues jobs before their time, where nothing else runs that could do it at their time."""

from sqlalchemy import Connection, update

from jobyard.jobs.database.schema import job
from jobyard.jobs.job import Status
from jobyard.jobs.ledger.settle import queued_again


def skip_delay(connection: Connection, job_id: str) -> None:
    """Queue a job that is scheduled or waits for its next attempt, whenever that would have been."""
    waits = job.c.status.in_((Status.SCHEDULED, Status.RETRYING))
    connection.execute(update(job).where(job.c.id == job_id, waits).values(queued_again()))
