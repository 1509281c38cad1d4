"""Queries for jobs: one job with its history, several jobs, and the counts of the queues."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, union_all

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import attempt, has_status, job, pruned, reported_state, tag
from jobyard.jobs.errors import ExternalIdNotFoundError, JobNotFoundError, JobPrunedError
from jobyard.jobs.job import FINAL, Attempt, Cause, Failure, Job, ReportedState, Status

_JOB_FIELDS = [name for name in Job.__slots__ if name in job.c]


# As in the condition of the index that serves these queries.
_IS_PUBLISHED: Final = (has_status(Status.QUEUED), job.c.published_at.is_not(None))


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How many jobs of a queue have each status that is not final, and when its oldest queued job was due."""

    counts: dict[Status, int]
    oldest_queued_at: datetime | None


def get_job(database: LedgerDatabase, job_id: str) -> Job:
    """Return one job, by its own id or its caller's; raises `JobNotFoundError`.

    Where the id is one job's own and another's external one, it means the first.
    """
    with database.reading() as connection:
        for condition in _is_job(job_id):
            if found := load(connection, select(job).where(condition)):
                return found[0]
        raise _not_found(connection, job_id)


def own_id_of(database: LedgerDatabase, job_id: str) -> str:
    """Return the own id of the job that `get_job` returns; raises `JobNotFoundError`."""
    with database.reading() as connection:
        for condition in _is_job(job_id):
            for own in connection.execute(select(job.c.id).where(condition)).scalars():
                return str(own)
        raise _not_found(connection, job_id)


def _is_job(job_id: str) -> Iterator[ColumnElement[bool]]:
    if (own := _as_own_id(job_id)) is not None:
        yield job.c.id == own
    # No job was accepted with another id, and a database cannot be asked for it.
    if "\x00" not in job_id and _is_utf8(job_id):
        yield job.c.external_id == job_id


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_own_id(job_id: str) -> str | None:
    # A UUID can be written in several forms, and the ledger knows only the one that it gave out.
    try:
        return str(UUID(job_id))
    except ValueError:
        return None


def _not_found(connection: Connection, job_id: str) -> JobNotFoundError:
    own = _as_own_id(job_id)
    return ExternalIdNotFoundError(job_id) if own is None else missing(connection, own)


def status_of(connection: Connection, job_id: str) -> Status | None:
    """Return the status of a job, or None if the ledger does not have the job."""
    status = connection.execute(select(job.c.status).where(job.c.id == job_id)).scalar_one_or_none()
    return None if status is None else Status(status)


def missing(connection: Connection, job_id: str) -> JobNotFoundError:
    """Return the error for a job that the ledger does not have: it was never accepted, or is pruned."""
    pruned_at = connection.execute(
        select(pruned.c.pruned_at).where(pruned.c.id == job_id)
    ).scalar_one_or_none()
    return JobNotFoundError(job_id) if pruned_at is None else JobPrunedError(job_id, pruned_at)


def get_attempts(database: LedgerDatabase, job_id: str) -> list[Attempt]:
    """Return the attempts at a job that did not succeed, oldest first."""
    statement = select(attempt).where(attempt.c.job_id == job_id).order_by(attempt.c.attempt)
    with database.reading() as connection:
        return [_as_attempt(row) for row in connection.execute(statement)]


def last_attempt(database: LedgerDatabase, job_id: str) -> Attempt | None:
    """Return the last attempt at a job that did not succeed, or None."""
    newest_first = attempt.c.attempt.desc()
    statement = select(attempt).where(attempt.c.job_id == job_id).order_by(newest_first).limit(1)
    with database.reading() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else _as_attempt(row)


def get_progress(database: LedgerDatabase, job_id: str) -> str | None:
    """Return the newest progress that an attempt at a job has recorded, as JSON text, or None."""
    statement = (
        select(attempt.c.progress)
        .where(attempt.c.job_id == job_id, attempt.c.progress.is_not(None))
        .order_by(attempt.c.attempt.desc())
        .limit(1)
    )
    with database.reading() as connection:
        return connection.execute(statement).scalar_one_or_none()


def get_reported_state(database: LedgerDatabase, job: Job) -> ReportedState | None:
    """Return what the job's newest attempt has said of itself with `update_state`, or None."""
    columns = (reported_state.c[name] for name in ReportedState._fields)
    is_its = (reported_state.c.job_id == job.id, reported_state.c.attempt == job.attempt)
    with database.reading() as connection:
        row = connection.execute(select(*columns).where(*is_its)).one_or_none()
    return None if row is None else ReportedState._make(row)


def root_of(database: LedgerDatabase, job_id: str) -> str:
    """Return the id of the first of a job's ancestors, which is its own for one that no job has handed in.

    Ancestors that are no longer in the ledger end the search.
    """
    ancestor = select(job.c.id, job.c.parent).where(job.c.id == job_id).cte("ancestor", recursive=True)
    ancestor = ancestor.union_all(select(job.c.id, job.c.parent).where(job.c.id == ancestor.c.parent))
    with database.reading() as connection:
        ancestors = connection.execute(select(ancestor.c.id, ancestor.c.parent)).all()
    return ancestors[-1].parent or ancestors[-1].id if ancestors else job_id


def finished_among(database: LedgerDatabase, job_ids: Collection[str]) -> set[str]:
    """Return the ids of the jobs that have ended, among these."""
    statement = select(job.c.id).where(job.c.id.in_(job_ids), job.c.status.in_(FINAL))
    with database.reading() as connection:
        return set(connection.execute(statement).scalars())


def queue_figures(database: LedgerDatabase) -> dict[str, QueueFigures]:
    """Return the figures of every queue that has jobs which have not ended."""
    # A query for each status, because no index has all of them.
    statement = union_all(
        *(
            select(job.c.queue, job.c.status, func.count(), func.min(job.c.run_at))
            .where(has_status(status))
            .group_by(job.c.queue, job.c.status)
            for status in Status
            if not status.is_final
        )
    )
    figures: dict[str, QueueFigures] = {}
    with database.reading() as connection:
        for queue, status, count, oldest in connection.execute(statement):
            so_far = figures.get(queue, QueueFigures({}, None))
            oldest_queued_at = oldest if status == Status.QUEUED else so_far.oldest_queued_at
            figures[queue] = QueueFigures({**so_far.counts, Status(status): count}, oldest_queued_at)
    return figures


def queues_with_messages(database: LedgerDatabase) -> list[str]:
    """Return the queues in which published jobs wait, by name, at a cost that does not grow with the jobs."""
    queues = [""]
    with database.reading() as connection:
        while queue := connection.execute(
            select(func.min(job.c.queue)).where(*_IS_PUBLISHED, job.c.queue > queues[-1])
        ).scalar():
            queues.append(queue)
    return queues[1:]


def count_messages(database: LedgerDatabase, queue: str, at_most: int) -> int:
    """Return how many published jobs wait in a queue, or `at_most` if there are more."""
    some = select(job.c.queue).where(*_IS_PUBLISHED, job.c.queue == queue).limit(at_most).subquery()
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(some)).scalar_one()


def load(connection: Connection, statement: Select[Any]) -> list[Job]:
    """Return the jobs of a query that selects whole rows, in its order."""
    rows = connection.execute(statement).all()
    tags = _tags_of(connection, [row.id for row in rows])
    return [_as_job(row, tuple(tags.get(row.id, ()))) for row in rows]


def _tags_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {}
    statement = select(tag.c.job_id, tag.c.tag).where(tag.c.job_id.in_(job_ids)).order_by(tag.c.tag)
    for job_id, its_tag in connection.execute(statement):
        tags.setdefault(job_id, []).append(its_tag)
    return tags


def _as_job(row: Row[Any], tags: tuple[str, ...]) -> Job:
    fields = {name: row._mapping[name] for name in _JOB_FIELDS}
    fields["status"] = Status(row.status)
    if row.headers is not None:
        fields["headers"] = json.loads(row.headers)
    failure = None
    if row.failure_cause is not None:
        failure = Failure(Cause(row.failure_cause), row.failure_type, row.failure_message)
    return Job(**fields, failure=failure, tags=tags)


def _as_attempt(row: Row[Any]) -> Attempt:
    failure = Failure(Cause(row.cause), row.type, row.message, row.traceback, row.module)
    return Attempt(row.attempt, failure, row.worker, row.started_at, row.ended_at)
