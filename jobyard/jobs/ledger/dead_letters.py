"""What a person can do with a dead job (replay it or discard it), and why jobs died."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select, update
from sqlalchemy.exc import IntegrityError

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_locks import locked_jobs_by_id
from jobyard.jobs.database.row_parameter import IDS
from jobyard.jobs.database.schema import QUEUED_JOB, has_status, job
from jobyard.jobs.errors import ClaimCheckError
from jobyard.jobs.files.claim_checks import PAYLOAD, get_claim_checks
from jobyard.jobs.job import Cause, InterventionKind, QueuedJob, Status
from jobyard.jobs.ledger.interventions import record_interventions
from jobyard.jobs.ledger.settle import queued_again
from jobyard.jobs.reading.job_filter import JobFilter, add_conditions
from jobyard.jobs.reading.json_diff import difference


class UniqueKeyTakenError(ValueError):
    """Another job with the unique key of a dead one is on its way."""

    def __init__(self) -> None:
        super().__init__("another job with its unique key is on its way")


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """The dead jobs of one task that died in the same way; `example` is the id of the latest."""

    task: str
    cause: Cause
    type: str
    count: int
    first_at: datetime
    last_at: datetime
    example: str
    message: str


class NewPayload(NamedTuple):
    """A payload for a dead job that was replayed `replays` times, and how it differs from the old one."""

    stored: str
    changes: list[dict[str, Any]]
    replays: int


def store_new_payload(database: LedgerDatabase, job_id: str, payload: str) -> NewPayload | None:
    """Prepare a payload for `replay`, or return None if the job is not dead.

    This reads and writes the file store, and therefore happens before a transaction has the write lock.
    """
    with database.reading() as connection:
        old = connection.execute(select(job.c.payload, job.c.replays).where(_is_dead(job_id))).one_or_none()
    if old is None:
        return None
    stored = get_claim_checks().check_in(job_id, f"{PAYLOAD}-{old.replays + 1}", payload)
    return NewPayload(stored, difference(_parsed(job_id, old.payload), json.loads(payload)), old.replays)


def _is_dead(job_id: str) -> ColumnElement[bool]:
    return and_(job.c.id == job_id, job.c.status == Status.DEAD)


def replay(
    connection: Connection,
    job_id: str,
    unsent_after: timedelta,
    *,
    actor: str | None,
    reason: str | None,
    new_payload: NewPayload | None = None,
) -> QueuedJob | None:
    """Queue a dead job again with a fresh count of attempts, or return None if it is not dead.

    The caller publishes the job; the keeper does if it is still unpublished `unsent_after` from now. A new
    payload replaces the old one, and the difference is recorded; it does not fit a job that was replayed
    meanwhile. Raises `UniqueKeyTakenError`.
    """
    is_this_one, values = _is_dead(job_id), _replayed_values(unsent_after)
    if new_payload is not None:
        is_this_one &= job.c.replays == new_payload.replays
        values["payload"] = new_payload.stored
    if connection.execute(select(job.c.id).where(is_this_one).with_for_update()).one_or_none() is None:
        return None
    try:
        with connection.begin_nested():
            row = connection.execute(
                update(job).where(is_this_one).values(values).returning(*QUEUED_JOB)
            ).one()
    except IntegrityError as error:  # only the unique key's index can refuse a change of status
        raise UniqueKeyTakenError from error
    changes = new_payload.changes if new_payload is not None else None
    record_interventions(connection, [job_id], InterventionKind.REPLAYED, actor, reason, changes)
    return QueuedJob(*row)


def _parsed(job_id: str, payload: str) -> Any:
    try:
        return json.loads(get_claim_checks().fetch(job_id, payload))
    except ClaimCheckError:
        return {}  # its loss may be the reason for the new payload


def _replayed_values(unsent_after: timedelta) -> dict[str, Any]:
    return queued_again(unsent_after) | {
        "replays": job.c.replays + 1,
        "failures": 0,
        "lost": 0,
        "run_at": db_now(),
        "expires_at": None,
        "finished_at": None,
    }


def discard(connection: Connection, job_ids: Sequence[str], actor: str, reason: str) -> list[str]:
    """Cancel the dead ones among these jobs for good; return their ids."""
    locked = locked_jobs_by_id(connection.dialect.name)
    statement = (
        update(job)
        .where(job.c.id == locked.c.id, locked.c.status == Status.DEAD)
        .values(status=Status.CANCELLED, finished_at=db_now())
        .returning(job.c.id)
    )
    rows = IDS.parameters(connection.dialect.name, [(job_id,) for job_id in job_ids])
    discarded = list(connection.execute(statement, rows).scalars())
    record_interventions(connection, discarded, InterventionKind.DISCARDED, actor, reason)
    return discarded


def causes(database: LedgerDatabase, job_filter: JobFilter) -> list[CauseGroup]:
    """Return why the dead jobs that match a filter died, the most frequent cause first."""
    grouped_by = (job.c.task, job.c.failure_cause, job.c.failure_type)
    # PostgreSQL before 18 has no max() of UUIDs, so the latest job is found by `finished_at` and not by its
    # id.
    groups = add_conditions(
        select(
            *grouped_by,
            func.count().label("count"),
            func.min(job.c.finished_at).label("first_at"),
            func.max(job.c.finished_at).label("last_at"),
        )
        .where(has_status(Status.DEAD))
        .group_by(*grouped_by),
        job_filter,
    ).subquery()
    latest = (
        select(
            func.row_number().over(partition_by=grouped_by, order_by=job.c.finished_at.desc()).label("place")
        )
        .add_columns(*grouped_by, job.c.id, job.c.failure_message)
        .select_from(job)
        .where(has_status(Status.DEAD))
    )
    examples = add_conditions(latest, job_filter).subquery()
    is_same = [groups.c[column.name] == examples.c[column.name] for column in grouped_by]
    statement = (
        select(groups, examples.c.id, examples.c.failure_message)
        .join(examples, (examples.c.place == 1) & is_same[0] & is_same[1] & is_same[2])
        .order_by(groups.c.count.desc(), groups.c.last_at.desc())
    )
    with database.reading() as connection:
        return [CauseGroup(row[0], Cause(row[1]), *row[2:]) for row in connection.execute(statement)]
