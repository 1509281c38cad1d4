"""Accepts jobs that can never run: their rows are dead letters from the start, in the same transaction."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, update

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job
from jobyard.jobs.job import Acceptance, Failure, NewJob, Status, Verdict
from jobyard.jobs.ledger.accept import accept
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault


def accept_dead(
    connection: Connection, new_jobs: Sequence[NewJob], failures: Sequence[Failure], unsent_after: timedelta
) -> list[Acceptance]:
    """Insert jobs that are dead, with one failure for each; those that exist already are left as they are."""
    acceptances = accept(connection, new_jobs, unsent_after)
    new = 0
    for acceptance, failure in zip(acceptances, failures, strict=True):
        if acceptance.verdict is not Verdict.NEW:
            continue
        new += 1
        connection.execute(
            update(job)
            .where(job.c.id == acceptance.job_id, job.c.status == Status.QUEUED)
            .values(
                status=Status.DEAD,
                finished_at=db_now(),
                failure_cause=failure.cause,
                failure_type=failure.type,
                failure_message=failure.message,
            )
        )
    count_fault(connection, FaultKind.FOREIGN_MESSAGE, new)
    return acceptances
