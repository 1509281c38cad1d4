"""What a person does with a dead job: replay it as it is or mended, or discard it; and why jobs died."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_locks import locked_by_id
from jobyard.jobs.database.row_parameter import IDS
from jobyard.jobs.database.schema import QUEUED_JOB, job, stands_in
from jobyard.jobs.database.schema import intervention as table
from jobyard.jobs.errors import ClaimCheckError
from jobyard.jobs.files.claim_checks import PAYLOAD, get_claim_checks
from jobyard.jobs.job import Cause, Intervention, InterventionKind, QueuedJob, Status, new_id
from jobyard.jobs.ledger.settle import queued_again
from jobyard.jobs.reading.json_diff import difference
from jobyard.jobs.reading.search import JobFilter, narrowed


class UniqueKeyTakenError(ValueError):
    """Another job with the unique key of a dead one is on its way."""

    def __init__(self) -> None:
        super().__init__("another job with its unique key is on its way")


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """Dead jobs of one task that died the same way; `example` is the latest of them."""

    task: str
    cause: Cause
    type: str
    count: int
    first_at: datetime
    last_at: datetime
    example: str
    message: str


def replay(
    connection: Connection,
    job_id: str,
    unsent_after: timedelta,
    payload: str | None = None,
    reason: str | None = None,
) -> QueuedJob | None:
    """Queue a dead job again with a fresh count of attempts, or return None where it is not dead.

    Whoever asks publishes it; where nobody does, the keeper will, `unsent_after` from now. A new `payload`
    takes the place of the old one, and what it changed is written down. Raises `UniqueKeyTakenError`.
    """
    is_it = (job.c.id == job_id) & (job.c.status == Status.DEAD)
    old = connection.execute(
        select(job.c.payload, job.c.replays).where(is_it).with_for_update()
    ).one_or_none()
    if old is None:
        return None
    values = _revived(unsent_after)
    if payload is not None:
        values["payload"] = get_claim_checks().check_in(job_id, f"{PAYLOAD}-{old.replays + 1}", payload)
    try:
        with connection.begin_nested():
            row = connection.execute(update(job).where(is_it).values(values).returning(*QUEUED_JOB)).one()
    except IntegrityError as error:  # the one constraint that a status can break
        raise UniqueKeyTakenError from error
    changes = difference(_document(job_id, old.payload), json.loads(payload)) if payload is not None else None
    _note(connection, [job_id], InterventionKind.REPLAYED, reason, changes)
    return QueuedJob(*row)


def _document(job_id: str, payload: str) -> Any:
    try:
        return json.loads(get_claim_checks().fetch(job_id, payload))
    except ClaimCheckError:
        return {}  # which may be why it is given a new one


def _revived(unsent_after: timedelta) -> dict[str, Any]:
    return queued_again(unsent_after) | {
        "replays": job.c.replays + 1,
        "failures": 0,
        "lost": 0,
        "run_at": db_now(),
        "expires_at": None,
        "finished_at": None,
    }


def discard(connection: Connection, job_ids: Sequence[str], reason: str) -> list[str]:
    """Cancel those of the jobs that are dead, for good; return their ids."""
    held = locked_by_id(connection.dialect.name)
    statement = (
        update(job)
        .where(job.c.id == held.c.id, held.c.status == Status.DEAD)
        .values(status=Status.CANCELLED, finished_at=db_now())
        .returning(job.c.id)
    )
    rows = IDS.parameters(connection.dialect.name, [(job_id,) for job_id in job_ids])
    discarded = list(connection.execute(statement, rows).scalars())
    _note(connection, discarded, InterventionKind.DISCARDED, reason, None)
    return discarded


def _note(
    connection: Connection,
    job_ids: Sequence[str],
    kind: InterventionKind,
    reason: str | None,
    changes: list[dict[str, Any]] | None,
) -> None:
    if not job_ids:
        return
    same = {
        "kind": kind,
        "reason": reason,
        "difference": json.dumps(changes) if changes is not None else None,
    }
    statement = insert(table).values(
        same | {"at": db_now(), "id": bindparam("its_id"), "job_id": bindparam("of")}
    )
    connection.execute(statement, [{"its_id": new_id(), "of": job_id} for job_id in job_ids])


def interventions(database: LedgerDatabase, job_id: str) -> list[Intervention]:
    """Return what persons did to a job, oldest first."""
    statement = select(table).where(table.c.job_id == job_id).order_by(table.c.at, table.c.id)
    with database.reading() as connection:
        return [
            Intervention(
                InterventionKind(row.kind),
                row.at,
                row.reason,
                json.loads(row.difference) if row.difference is not None else None,
            )
            for row in connection.execute(statement)
        ]


def causes(database: LedgerDatabase, wanted: JobFilter) -> list[CauseGroup]:
    """Return why the dead jobs of a filter died, the most frequent cause first."""
    grouped_by = (job.c.task, job.c.failure_cause, job.c.failure_type)
    # Ids sort by time and max() of a UUID is new in PostgreSQL 18, so the latest is found by its end.
    groups = narrowed(
        select(
            *grouped_by,
            func.count().label("count"),
            func.min(job.c.finished_at).label("first_at"),
            func.max(job.c.finished_at).label("last_at"),
        )
        .where(stands_in(Status.DEAD))
        .group_by(*grouped_by),
        wanted,
    ).subquery()
    latest = (
        select(
            func.row_number().over(partition_by=grouped_by, order_by=job.c.finished_at.desc()).label("place")
        )
        .add_columns(*grouped_by, job.c.id, job.c.failure_message)
        .select_from(job)
        .where(stands_in(Status.DEAD))
    )
    examples = narrowed(latest, wanted).subquery()
    same = [groups.c[column.name] == examples.c[column.name] for column in grouped_by]
    statement = (
        select(groups, examples.c.id, examples.c.failure_message)
        .join(examples, (examples.c.place == 1) & same[0] & same[1] & same[2])
        .order_by(groups.c.count.desc(), groups.c.last_at.desc())
    )
    with database.reading() as connection:
        return [CauseGroup(row[0], Cause(row[1]), *row[2:]) for row in connection.execute(statement)]
