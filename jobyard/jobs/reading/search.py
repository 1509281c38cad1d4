"""Lists of jobs by filter and cursor, newest first, at a cost that does not grow with the ledger.

Each step examines at most `MAX_EXAMINED` jobs, in the order of one index, and keeps those that match the rest
of the filter. So a page may have fewer jobs than were asked for, or none, and still a cursor, which means
that there are more jobs to examine. This way not every filter needs an index of its own, which would make
every job more expensive. The queued and running jobs of one task have none either: they are picked from those
of all tasks. Jobs by their time of end come from the keeper's index where one step can take all of them.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ClauseElement,
    Connection,
    Executable,
    Select,
    Subquery,
    func,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.compiler import compiles

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_locks import is_among
from jobyard.jobs.database.row_parameter import MATERIALIZED
from jobyard.jobs.database.schema import IS_FAILED, NOT_IN_FLIGHT, has_status, job, status_is, tag
from jobyard.jobs.job import FINAL, Job, Status
from jobyard.jobs.reading.job_filter import JobFilter, add_conditions, ended_between, matches_payload
from jobyard.jobs.reading.job_queries import load

# Jobs that one step examines at most.
MAX_EXAMINED: Final = 2_000
# Counts up to this number are exact, and larger ones are estimates.
MAX_COUNTED: Final = 10_000
# Ids have the time of the host that submits, and `created_at` has the ledger's: their clocks may differ by
# this.
CLOCKS_APART: Final = timedelta(minutes=10)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class BadCursorError(ValueError):
    """A cursor that does not come from a list of jobs."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first, and the cursor of the next part, which is None at the end."""

    jobs: list[Job]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many jobs match a filter; if not exact, an estimate (PostgreSQL) or a lower bound (SQLite)."""

    jobs: int
    is_exact: bool


def list_jobs(database: LedgerDatabase, job_filter: JobFilter, limit: int, cursor: str | None = None) -> Page:
    """Return a page of jobs, newest first; raises `BadCursorError`.

    A cursor is the id of the last job that was examined, so a list keeps its place while new jobs arrive.
    """
    before = decode_cursor(cursor) if cursor is not None else None
    with database.reading() as connection:
        found, rest = _examine_part(connection, job_filter, limit, before)
        jobs = load(connection, select(job).where(job.c.id.in_(found)).order_by(job.c.id.desc()))
    return Page(jobs, encode_cursor(rest) if rest is not None else None)


def each_page(database: LedgerDatabase, job_filter: JobFilter, size: int) -> Iterator[list[Job]]:
    """Yield every job that matches a filter, newest first, in pages."""
    cursor: str | None = None
    while True:
        page = list_jobs(database, job_filter, size, cursor)
        yield page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return


def matching_ids(database: LedgerDatabase, job_filter: JobFilter, limit: int) -> list[str]:
    """Return the ids of at most `limit` jobs that match a filter, newest first."""
    ids: list[str] = []
    before: str | None = None
    with database.reading() as connection:
        while len(ids) < limit:
            found, before = _examine_part(connection, job_filter, limit - len(ids), before)
            ids += found
            if before is None:
                break
    return ids


def count_jobs(database: LedgerDatabase, job_filter: JobFilter) -> Count:
    """Return how many jobs match a filter: exactly up to `MAX_COUNTED`, and estimated beyond."""
    counted, before = 0, None
    with database.reading() as connection:
        for _ in range(MAX_COUNTED // MAX_EXAMINED):
            found, before = _examine_part(connection, job_filter, MAX_EXAMINED, before)
            counted += len(found)
            if before is None:
                return Count(counted, is_exact=True)
        return Count(max(counted, _estimated(connection, job_filter)), is_exact=False)


def latest_with_tag(database: LedgerDatabase, tag_name: str) -> Job | None:
    """Return the newest job with a tag, or None."""
    page = list_jobs(database, JobFilter(tag=tag_name), 1)
    return page.jobs[0] if page.jobs else None


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


def _examine_part(
    connection: Connection, job_filter: JobFilter, limit: int, before: str | None
) -> tuple[list[str], str | None]:
    """Return at most `limit` matching ids below `before`, and the next `before`, None at the end."""
    examined = _examined_ids(connection, job_filter, before)
    columns = (job.c.id, job.c.payload) if job_filter.payload else (job.c.id,)
    is_examined = is_among(connection.dialect.name, select(examined.c.id))
    statement = add_conditions(select(*columns).where(is_examined), job_filter)
    statement = statement.order_by(job.c.id.desc())
    if job_filter.payload:
        rows = connection.execute(statement)
        found = [row.id for row in rows if matches_payload(row.payload, job_filter.payload)]
    else:
        found = list(connection.execute(statement.limit(limit + 1)).scalars())
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    last = select(examined.c.id).order_by(examined.c.id.desc()).offset(MAX_EXAMINED - 1).limit(1)
    return found, connection.execute(last).scalar_one_or_none()


def _examined_ids(connection: Connection, job_filter: JobFilter, before: str | None) -> Subquery:
    """Return the newest ids that one index gives in order; the other conditions are left to the caller."""
    statuses = job_filter.status or (FINAL if job_filter.is_about_ends else Status)
    if job_filter.external_id is not None:
        queries = [select(job.c.id).where(job.c.external_id == job_filter.external_id)]
    elif job_filter.tag is not None:
        queries = [select(tag.c.job_id.label("id")).where(tag.c.tag == job_filter.tag)]
    elif job_filter.parent is not None:
        queries = [select(job.c.id).where(job.c.parent == job_filter.parent)]
    elif job_filter.is_about_ends and (few_ended := _few_ended(connection, job_filter)) is not None:
        queries = [few_ended]
    elif job_filter.task is not None or job_filter.status:
        queries = [_with_status(status, job_filter.task) for status in statuses]
    elif job_filter.cause is not None or job_filter.error is not None or job_filter.text is not None:
        queries = [select(job.c.id).where(text(IS_FAILED))]
    elif job_filter.is_about_ends:
        queries = [_with_status(status, None) for status in statuses]
    else:
        queries = [select(job.c.id)]
    newest = [_newest(_within(query, job_filter, before)) for query in queries]
    if len(newest) == 1:
        return newest[0].subquery("examined")
    merged = union_all(*(select(query.subquery()) for query in newest)).subquery()
    return _newest(select(merged.c.id)).subquery("examined")


def _few_ended(connection: Connection, job_filter: JobFilter) -> Select[Any] | None:
    # The index by time of end is not in the order of a list, so it serves if one step can sort what it finds.
    ended = select(job.c.id).where(status_is(*FINAL), *ended_between(job_filter))
    found = select(func.count()).select_from(ended.limit(MAX_EXAMINED + 1).subquery())
    if connection.execute(found).scalar_one() > MAX_EXAMINED:
        return None
    return select(ended.cte("ended").prefix_with(MATERIALIZED).c.id)


def _with_status(status: Status, task: str | None) -> Select[Any]:
    query = select(job.c.id).where(has_status(status))
    if task is not None and status in NOT_IN_FLIGHT:
        query = query.where(job.c.task == task)
    if status is Status.RUNNING:
        # Running jobs are few, and are sorted once they are found. A planner that expects many would look for
        # them along the primary key, through all jobs that have ended.
        return select(query.cte("running").prefix_with(MATERIALIZED).c.id)
    return query


def _within(query: Select[Any], job_filter: JobFilter, before: str | None) -> Select[Any]:
    id_column = query.selected_columns[0]
    if before is not None:
        query = query.where(id_column < before)
    if job_filter.since is not None:
        query = query.where(id_column >= _first_id(job_filter.since, -CLOCKS_APART))
    for until in (job_filter.until, job_filter.ended_until):  # no job ends before it is accepted
        if until is not None:
            query = query.where(id_column < _first_id(until, CLOCKS_APART))
    return query


def _newest(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(statement.selected_columns[0].desc()).limit(MAX_EXAMINED)


def _first_id(moment: datetime, shift: timedelta) -> str:
    # The first 48 bits of a UUIDv7 are milliseconds since 1970 (RFC 9562). The number is shifted and not the
    # date, because the shift of a date near either end of the calendar would overflow.
    millis = (moment - _EPOCH) // _MILLISECOND + shift // _MILLISECOND
    millis = min(max(0, millis), 2**48 - 1)
    return str(UUID(int=millis << 80))


def _estimated(connection: Connection, job_filter: JobFilter) -> int:
    # PostgreSQL's planner estimates how many rows match; SQLite's does not tell.
    if connection.dialect.name != "postgresql" or job_filter.payload:
        return 0
    first_line = connection.execute(_Explain(add_conditions(select(job.c.id), job_filter))).scalars().first()
    rows = re.search(r"rows=(\d+)", first_line or "")
    return int(rows[1]) if rows else 0


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explain)
def _compile_explain(element: _Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN {compiler.process(element.statement, **options)}"
