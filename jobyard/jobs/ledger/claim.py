"""Claims jobs, renews their leases and notes that their messages were sent, each by one statement.

None of these commits waits for the disk on SQLite: see `Durability.UNTIL_POWER_CUT`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Float, Update, and_, bindparam, update
from sqlalchemy.sql.dml import ReturningUpdate

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.engines import Durability
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_locks import current_jobs, is_in_time, locked_jobs_by_id
from jobyard.jobs.database.row_parameter import IDS
from jobyard.jobs.database.schema import Id, job
from jobyard.jobs.database.statement import CommittedStatement
from jobyard.jobs.job import ClaimedJob, Status
from jobyard.jobs.ledger.settle import ATTEMPT_KEYS, AttemptKey, is_running_attempt

_CLAIMED_JOB = (
    job.c.id,
    job.c.task,
    job.c.payload,
    job.c.attempt,
    job.c.failures,
    job.c.max_attempts,
    job.c.lost,
    job.c.created_at,
    job.c.external_id,
    job.c.headers,
    job.c.time_limit,
    job.c.soft_time_limit,
)


def claim(
    database: LedgerDatabase, job_ids: Sequence[str], worker: str, lease: timedelta
) -> list[ClaimedJob]:
    """Claim those of the jobs that are queued and not expired: attempt + 1 and a lease for `worker`."""
    own = {"its_worker": worker, "lease": lease.total_seconds()}
    if len(job_ids) == 1:
        rows = database.run(_CLAIM_ONE, {"its_id": job_ids[0], **own}).rows
    else:
        ids = IDS.parameters(database.dialect, [(job_id,) for job_id in job_ids])
        rows = database.run(_CLAIM, {**ids, **own}).rows
    return [ClaimedJob._make(row) for row in rows]


def renew(database: LedgerDatabase, keys: Sequence[AttemptKey], lease: timedelta) -> set[AttemptKey]:
    """Prolong the leases of attempts that still run; return the keys of these."""
    parameters = {**ATTEMPT_KEYS.parameters(database.dialect, keys), "lease": lease.total_seconds()}
    return set(database.run(_RENEW, parameters).rows)


def mark_published(database: LedgerDatabase, job_ids: Sequence[str], resend_after: timedelta) -> None:
    """Note that the messages of these jobs were sent, unless a worker has claimed the job already.

    The keeper may send the message again after `resend_after`, if the broker has lost it.
    """
    ids = IDS.parameters(database.dialect, [(job_id,) for job_id in job_ids])
    database.run(_MARK_PUBLISHED, {**ids, "resend_after": resend_after.total_seconds()})


def _claim_statement(dialect: str) -> ReturningUpdate[Any]:
    locked = locked_jobs_by_id(dialect)
    return _claim_where(and_(job.c.id == locked.c.id, locked.c.status == Status.QUEUED, locked.c.is_in_time))


def _claim_one_statement(dialect: str) -> ReturningUpdate[Any]:
    is_this_one = job.c.id == bindparam("its_id", type_=Id)
    return _claim_where(and_(is_this_one, job.c.status == Status.QUEUED, is_in_time()))


def _claim_where(condition: ColumnElement[bool]) -> ReturningUpdate[Any]:
    return (
        update(job)
        .where(condition)
        .values(
            status=Status.RUNNING,
            attempt=job.c.attempt + 1,
            worker=bindparam("its_worker"),
            started_at=db_now(),
            lease_until=db_now(plus=bindparam("lease", type_=Float)),
        )
        .returning(*_CLAIMED_JOB)
    )


def _renew_statement(dialect: str) -> ReturningUpdate[Any]:
    given = ATTEMPT_KEYS.relation(dialect)
    current = current_jobs(dialect, given)
    return (
        update(job)
        .where(job.c.id == current.c.id, is_running_attempt(current, given))
        .values(lease_until=db_now(plus=bindparam("lease", type_=Float)))
        .returning(job.c.id, job.c.attempt)
    )


def _mark_published_statement(dialect: str) -> Update:
    # A transaction that has locked a row is about to move the job, and then the note is of no use.
    locked = locked_jobs_by_id(dialect, skip_locked=True)
    return (
        update(job)
        .where(job.c.id == locked.c.id, locked.c.status == Status.QUEUED)
        .values(
            published_at=db_now(),
            publish_count=job.c.publish_count + 1,
            resend_at=db_now(plus=bindparam("resend_after", type_=Float)),
        )
    )


_CLAIM: Final = CommittedStatement(_claim_statement, durability=Durability.UNTIL_POWER_CUT)
_CLAIM_ONE: Final = CommittedStatement(
    _claim_one_statement, durability=Durability.UNTIL_POWER_CUT, finds_one_row=True
)
_RENEW: Final = CommittedStatement(_renew_statement, durability=Durability.UNTIL_POWER_CUT)
_MARK_PUBLISHED: Final = CommittedStatement(_mark_published_statement, durability=Durability.UNTIL_POWER_CUT)
