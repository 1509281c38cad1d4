"""Finding jobs: lists by filter and cursor, newest first, whose cost does not grow with the ledger.

Each step looks at no more than `MOST_EXAMINED` jobs, in the order of an index (its trail), and keeps those
that fit the rest of the filter. So a page may hold fewer jobs than were asked for, even none, and still have
a cursor: there is more to look at. And no filter needs an index of its own, for which every job would pay.
Nor have the queued or running jobs of one task: they are picked from those of all.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    Executable,
    Select,
    Subquery,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.compiler import compiles

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_locks import is_among
from jobyard.jobs.database.row_parameter import FENCE
from jobyard.jobs.database.schema import IS_FAILED, RESTING, job, stands_in, tag
from jobyard.jobs.files.claim_checks import is_check
from jobyard.jobs.job import Cause, Job, Status
from jobyard.jobs.reading.job_queries import load

MOST_EXAMINED: Final = 2_000
# Counted one by one so far, and estimated beyond.
MOST_COUNTED: Final = 10_000
# Ids are made by the hosts that submit, `created_at` by the ledger: their clocks may differ by so much.
CLOCKS_APART: Final = timedelta(minutes=10)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class BadCursorError(ValueError):
    """A cursor that no list of ours has given out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to find; what is None or empty does not narrow.

    `error` is the class of the last failure, and `text` a part of its words, in small letters or large;
    `worker` is a worker's name, with or without the process; `since` and `until` are about acceptance.
    `payload` says what fields must be, as text, by path (`to`, `options.size`); of a list one will do.
    """

    status: Collection[Status] = ()
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    cause: Cause | None = None
    error: str | None = None
    text: str | None = None
    worker: str | None = None
    parent: str | None = None
    payload: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first, and the cursor of the next part, or None at the end."""

    jobs: list[Job]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many jobs fit a filter; where not exact, about so many (PostgreSQL), or at least (SQLite)."""

    jobs: int
    is_exact: bool


def list_jobs(database: LedgerDatabase, wanted: JobFilter, limit: int, cursor: str | None = None) -> Page:
    """Return a page of jobs, newest first; raises `BadCursorError`.

    A cursor is the id of the last job that was looked at, so a list stays in place while new jobs arrive.
    """
    before = decode_cursor(cursor) if cursor is not None else None
    with database.reading() as connection:
        found, rest = _step(connection, wanted, limit, before)
        jobs = load(connection, select(job).where(job.c.id.in_(found)).order_by(job.c.id.desc()))
    return Page(jobs, encode_cursor(rest) if rest is not None else None)


def each_page(database: LedgerDatabase, wanted: JobFilter, size: int) -> Iterator[list[Job]]:
    """Yield every job of a filter, newest first, in pages."""
    cursor: str | None = None
    while True:
        page = list_jobs(database, wanted, size, cursor)
        yield page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return


def matching_ids(database: LedgerDatabase, wanted: JobFilter, limit: int) -> list[str]:
    """Return the ids of jobs, newest first."""
    ids: list[str] = []
    before: str | None = None
    with database.reading() as connection:
        while len(ids) < limit:
            found, before = _step(connection, wanted, limit - len(ids), before)
            ids += found
            if before is None:
                break
    return ids


def count_jobs(database: LedgerDatabase, wanted: JobFilter) -> Count:
    """Return how many jobs fit a filter: counted up to `MOST_COUNTED`, estimated beyond."""
    counted, before = 0, None
    with database.reading() as connection:
        for _ in range(MOST_COUNTED // MOST_EXAMINED):
            found, before = _step(connection, wanted, MOST_EXAMINED, before)
            counted += len(found)
            if before is None:
                return Count(counted, is_exact=True)
        return Count(max(counted, _estimated(connection, wanted)), is_exact=False)


def latest_with_tag(database: LedgerDatabase, wanted: str) -> Job | None:
    """Return the newest job with a tag, or None."""
    page = list_jobs(database, JobFilter(tag=wanted), 1)
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


def _step(
    connection: Connection, wanted: JobFilter, limit: int, before: str | None
) -> tuple[list[str], str | None]:
    """Return at most `limit` ids from one part of the trail, and the id that the next part begins after."""
    examined = _trail(wanted, before)
    columns = (job.c.id, job.c.payload) if wanted.payload else (job.c.id,)
    is_examined = is_among(connection.dialect.name, select(examined.c.id))
    statement = narrowed(select(*columns).where(is_examined), wanted)
    statement = statement.order_by(job.c.id.desc())
    if wanted.payload:
        rows = connection.execute(statement)
        found = [row.id for row in rows if _fits(row.payload, wanted.payload)]
    else:
        found = list(connection.execute(statement.limit(limit + 1)).scalars())
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    last = select(examined.c.id).order_by(examined.c.id.desc()).offset(MOST_EXAMINED - 1).limit(1)
    return found, connection.execute(last).scalar_one_or_none()


def _trail(wanted: JobFilter, before: str | None) -> Subquery:
    """Return the newest ids that one index gives in order, whatever else is wanted."""
    if wanted.tag is not None:
        starts = [select(tag.c.job_id.label("id")).where(tag.c.tag == wanted.tag)]
    elif wanted.parent is not None:
        starts = [select(job.c.id).where(job.c.parent == wanted.parent)]
    elif wanted.task is not None or wanted.status:
        starts = [_standing_in(status, wanted.task) for status in wanted.status or Status]
    elif wanted.cause is not None or wanted.error is not None or wanted.text is not None:
        starts = [select(job.c.id).where(text(IS_FAILED))]
    else:
        starts = [select(job.c.id)]
    branches = [_newest(_between(start, wanted, before)) for start in starts]
    if len(branches) == 1:
        return branches[0].subquery("examined")
    both = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    return _newest(select(both.c.id)).subquery("examined")


def _standing_in(status: Status, task: str | None) -> Select[Any]:
    start = select(job.c.id).where(stands_in(status))
    if task is not None and status in RESTING:
        start = start.where(job.c.task == task)
    if status is Status.RUNNING:
        # Few, and sorted once they are found: a planner that takes them for many would look for them along
        # the primary key, through all that has ended.
        return select(start.cte("running").prefix_with(FENCE).c.id)
    return start


def _between(start: Select[Any], wanted: JobFilter, before: str | None) -> Select[Any]:
    the_id = start.selected_columns[0]
    if before is not None:
        start = start.where(the_id < before)
    if wanted.since is not None:
        start = start.where(the_id >= _first_id(wanted.since, -CLOCKS_APART))
    if wanted.until is not None:
        start = start.where(the_id < _first_id(wanted.until, CLOCKS_APART))
    return start


def _newest(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(statement.selected_columns[0].desc()).limit(MOST_EXAMINED)


def _first_id(moment: datetime, shift: timedelta) -> str:
    # The first 48 bits of a UUIDv7 are milliseconds since 1970 (RFC 9562). Any date may be asked for, and
    # some cannot be shifted, so the number is.
    millis = (moment - _EPOCH) // _MILLISECOND + shift // _MILLISECOND
    millis = min(max(0, millis), 2**48 - 1)
    return str(UUID(int=millis << 80))


def narrowed(statement: Select[Any], wanted: JobFilter) -> Select[Any]:
    """Add every condition of a filter that a database can decide; of `payload` what it can rule out."""
    return statement.where(*_conditions(wanted))


def _conditions(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.status:
        yield job.c.status.in_(wanted.status)
    equal = {
        "task": wanted.task,
        "queue": wanted.queue,
        "failure_cause": wanted.cause,
        "failure_type": wanted.error,
        "parent": wanted.parent,
    }
    for name, value in equal.items():
        if value is not None:
            yield job.c[name] == value
    if wanted.tag is not None:
        yield job.c.id.in_(select(tag.c.job_id).where(tag.c.tag == wanted.tag))
    if wanted.text is not None:
        yield job.c.failure_message.icontains(wanted.text, autoescape=True)
    if wanted.worker is not None:
        with_process = job.c.worker.startswith(f"{wanted.worker}/", autoescape=True)
        yield (job.c.worker == wanted.worker) | with_process
    if wanted.since is not None:
        yield job.c.created_at >= wanted.since
    if wanted.until is not None:
        yield job.c.created_at < wanted.until
    for path, value in wanted.payload.items():
        if plain := _longest_plain_part(value):
            yield job.c.payload.contains(plain, autoescape=True)
        for name in path.split("."):
            if name.isascii() and name.isidentifier():  # which JSON writes as it is
                yield job.c.payload.contains(f'"{name}"', autoescape=True)


def _longest_plain_part(value: str) -> str:
    # What JSON writes as it is, whoever wrote it: other characters may stand there escaped.
    parts = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in value).split()
    return max(parts, key=len, default="")


def _fits(payload: str, wanted: Mapping[str, str]) -> bool:
    if is_check(payload):
        return False  # it is not fetched for every search
    document = json.loads(payload)
    return all(value in _texts_at(document, path.split(".")) for path, value in wanted.items())


def _texts_at(node: Any, path: list[str]) -> Iterator[str]:
    if isinstance(node, list):
        for element in node:
            yield from _texts_at(element, path)
    elif path:
        if isinstance(node, dict) and path[0] in node:
            yield from _texts_at(node[path[0]], path[1:])
    elif not isinstance(node, dict):
        yield node if isinstance(node, str) else json.dumps(node)


def _estimated(connection: Connection, wanted: JobFilter) -> int:
    # PostgreSQL's planner knows about how many rows it will meet; SQLite has no such thing.
    if connection.dialect.name != "postgresql" or wanted.payload:
        return 0
    first_line = connection.execute(_Explained(narrowed(select(job.c.id), wanted))).scalars().first()
    rows = re.search(r"rows=(\d+)", first_line or "")
    return int(rows[1]) if rows else 0


class _Explained(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explained)
def _explained(element: _Explained, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN {compiler.process(element.statement, **options)}"
