"""How jobs are read: one, many by filter and cursor, and the figures of the queues."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, Select, func, select

from jobs.database import reading
from jobs.errors import JobNotFoundError
from jobs.job import FINAL, Attempt, Cause, Failure, Job, Status
from jobs.schema import attempt, job, status_is, tag

_JOB_FIELDS = [name for name in Job.__slots__ if name in job.c]


class BadCursorError(ValueError):
    """A cursor that no list of ours has given out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list; what is None does not narrow.

    `error` is the class of the last failure; `since` and `until` are about acceptance.
    """

    status: Collection[Status] = ()
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    cause: Cause | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first, and the cursor of the next part, or None at the end."""

    jobs: list[Job]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How many jobs of a queue are in each moving status, and when its oldest queued job was due."""

    counts: dict[Status, int]
    oldest_queued_at: datetime | None


def get_job(engine: Engine, job_id: str) -> Job:
    """Return one job; raises `JobNotFoundError`."""
    with reading(engine) as connection:
        found = _load(connection, select(job).where(job.c.id == job_id))
    if not found:
        raise JobNotFoundError(job_id)
    return found[0]


def get_attempts(engine: Engine, job_id: str) -> list[Attempt]:
    """Return the attempts at a job that did not succeed, oldest first."""
    statement = select(attempt).where(attempt.c.job_id == job_id).order_by(attempt.c.attempt)
    with reading(engine) as connection:
        return [_as_attempt(row) for row in connection.execute(statement)]


def list_jobs(engine: Engine, wanted: JobFilter, limit: int, cursor: str | None = None) -> Page:
    """Return a page of jobs, newest first; raises `BadCursorError`.

    The cursor is the last job's id, so a list stays in place while new jobs arrive in front of it.
    """
    statement = narrowed(select(job), wanted).order_by(job.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(job.c.id < decode_cursor(cursor))
    with reading(engine) as connection:
        found = _load(connection, statement)
    has_more = len(found) > limit
    return Page(found[:limit], encode_cursor(found[limit - 1].id) if has_more else None)


def matching_ids(engine: Engine, wanted: JobFilter, limit: int) -> list[str]:
    """Return the ids of jobs, newest first."""
    statement = narrowed(select(job.c.id), wanted).order_by(job.c.id.desc()).limit(limit)
    with reading(engine) as connection:
        return list(connection.execute(statement).scalars())


def latest_with_tag(engine: Engine, wanted: str) -> Job | None:
    """Return the newest job with a tag, or None."""
    page = list_jobs(engine, JobFilter(tag=wanted), 1)
    return page.jobs[0] if page.jobs else None


def finished_among(engine: Engine, job_ids: Collection[str]) -> set[str]:
    """Return the ids of those jobs that have ended."""
    statement = select(job.c.id).where(job.c.id.in_(job_ids), job.c.status.in_(FINAL))
    with reading(engine) as connection:
        return set(connection.execute(statement).scalars())


def queue_figures(engine: Engine) -> dict[str, QueueFigures]:
    """Return the figures of every queue that has jobs on their way."""
    is_moving = status_is(*(status for status in Status if not status.is_final))
    statement = (
        select(job.c.queue, job.c.status, func.count(), func.min(job.c.run_at))
        .where(is_moving)
        .group_by(job.c.queue, job.c.status)
    )
    figures: dict[str, QueueFigures] = {}
    with reading(engine) as connection:
        for queue, status, count, oldest in connection.execute(statement):
            so_far = figures.get(queue, QueueFigures({}, None))
            oldest_queued_at = oldest if status == Status.QUEUED else so_far.oldest_queued_at
            figures[queue] = QueueFigures({**so_far.counts, Status(status): count}, oldest_queued_at)
    return figures


def status_counts(engine: Engine) -> dict[Status, int]:
    """Return how many jobs stand in each status."""
    with reading(engine) as connection:
        rows = connection.execute(select(job.c.status, func.count()).group_by(job.c.status))
        return {Status(status): count for status, count in rows}


def encode_cursor(job_id: str) -> str:
    return urlsafe_b64encode(UUID(job_id).bytes).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Return the id in a cursor; raises `BadCursorError`."""
    try:
        job_id = str(UUID(bytes=urlsafe_b64decode(cursor + "==")))
    except ValueError as error:
        raise BadCursorError("not a cursor of this list: use next_cursor as it was given") from error
    if encode_cursor(job_id) != cursor:
        raise BadCursorError("this cursor was altered: use next_cursor as it was given")
    return job_id


def narrowed(statement: Select[Any], wanted: JobFilter) -> Select[Any]:
    """Add the conditions of a filter."""
    if wanted.status:
        statement = statement.where(job.c.status.in_(wanted.status))
    if wanted.task is not None:
        statement = statement.where(job.c.task == wanted.task)
    if wanted.queue is not None:
        statement = statement.where(job.c.queue == wanted.queue)
    if wanted.tag is not None:
        statement = statement.where(job.c.id.in_(select(tag.c.job_id).where(tag.c.tag == wanted.tag)))
    if wanted.cause is not None:
        statement = statement.where(job.c.failure_cause == wanted.cause)
    if wanted.error is not None:
        statement = statement.where(job.c.failure_type == wanted.error)
    if wanted.since is not None:
        statement = statement.where(job.c.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(job.c.created_at < wanted.until)
    return statement


def _load(connection: Connection, statement: Select[Any]) -> list[Job]:
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
    failure = None
    if row.failure_cause is not None:
        failure = Failure(Cause(row.failure_cause), row.failure_type, row.failure_message)
    return Job(**fields, failure=failure, tags=tags)


def _as_attempt(row: Row[Any]) -> Attempt:
    failure = Failure(Cause(row.cause), row.type, row.message, row.traceback)
    return Attempt(row.attempt, failure, row.worker, row.started_at, row.ended_at)
