"""How jobs get into the ledger: inserts their rows, and finds the existing job for each that is not new."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Insert,
    Integer,
    Select,
    String,
    Text,
    bindparam,
    case,
    delete,
    func,
    select,
    true,
)
from sqlalchemy.types import TypeEngine

from jobyard.jobs.clock import UtcDateTime, db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.row_parameter import RowParameter
from jobyard.jobs.database.schema import Id, job, status_is, tag
from jobyard.jobs.database.statement import CommittedStatement
from jobyard.jobs.database.upsert import insert_or
from jobyard.jobs.job import FIRST_CALL_FIELD, FIRST_OPTION, WAITING, Acceptance, NewJob, Status, Verdict

_TRIES = 3
# Jobs that a publisher sends within `unsent_after` (2 s by default) at the least; measured: 1,500 to 4,000/s.
PUBLISHED_WITHIN_UNSENT_AFTER = 1000

_Types = Mapping[str, TypeEngine[Any] | type[TypeEngine[Any]]]
_UNSHARED: Final[_Types] = {"id": Id, "payload": Text}
_SHARED: Final[_Types] = {
    "task": String,
    "queue": String,
    "priority": Integer,
    "max_attempts": Integer,
    "parent": Id,
    "delay": Float,
    "wanted_at": UtcDateTime(),
    "expires_in": Float,
}
_KEYS: Final[_Types] = {"idempotency_key": String, "request_hash": String, "unique_key": String}
_CALL_FIELDS: Final[_Types] = {
    "external_id": String,
    "headers": Text,
    "time_limit": Float,
    "soft_time_limit": Float,
}
# Most jobs have none of the last, so they do without these columns.
_JOBS_WITH_CALL_FIELDS: Final = RowParameter(**_UNSHARED, **_SHARED, **_KEYS, **_CALL_FIELDS)
_ANY_JOBS: Final = RowParameter(**_UNSHARED, **_SHARED, **_KEYS)
_ONE_JOB: Final = RowParameter(**_UNSHARED, **_SHARED)
_ALIKE_JOBS: Final = RowParameter(**_UNSHARED)


def accept(connection: Connection, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> list[Acceptance]:
    """Insert jobs, and return for each, in the same order, whether it is new (see `Verdict`).

    The keeper may publish a job that has not been published within `unsent_after`.
    """
    verdicts: dict[str, Acceptance] = {}
    missing = _in_lock_order(new_jobs)
    # The existing job may end after it refused our insert and before we look it up: then we insert again.
    for _ in range(_TRIES):
        inserted = _insert(connection, missing, unsent_after)
        verdicts |= {id_: Acceptance(id_, Verdict.NEW) for id_ in inserted}
        missing = [new for new in missing if new.id not in inserted]
        verdicts |= {new.id: existing for new in missing if (existing := _find_existing(connection, new))}
        missing = [new for new in missing if new.id not in verdicts]
        if not missing:
            break
    _delete_refused_bulks(connection, new_jobs, verdicts)
    return [verdicts[new.id] for new in new_jobs]


def commit_untagged(database: LedgerDatabase, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> bool:
    """Commit jobs without tags by one statement; return whether all were new (if not, call `accept`)."""
    dialect = database.dialect
    if not _are_alike(new_jobs):
        statement = _INSERT_WITH_CALL_FIELDS if _have_call_fields(new_jobs) else _INSERT
        parameters = _parameters_of_any(dialect, _in_lock_order(new_jobs), unsent_after)
    elif len(new_jobs) == 1:
        statement, parameters = _INSERT_ONE, _parameters_of_one(dialect, new_jobs[0], unsent_after)
    else:
        statement, parameters = _INSERT_ALIKE, _parameters_of_alike(dialect, new_jobs, unsent_after)
    return database.run(statement, parameters).written == len(new_jobs)


def _are_alike(new_jobs: Sequence[NewJob]) -> bool:
    # Whether they differ only in id and payload. A key is unique to one job, so a job with a key does not
    # qualify, nor does one with a column that most jobs do without.
    first = new_jobs[0]
    if first.idempotency_key is not None or first.unique_key is not None or first.has_call_fields:
        return False
    return all(new.task == first.task and new[FIRST_OPTION:] == first[FIRST_OPTION:] for new in new_jobs)


def _have_call_fields(new_jobs: Sequence[NewJob]) -> bool:
    return any(new.has_call_fields for new in new_jobs)


def _in_lock_order(new_jobs: Sequence[NewJob]) -> Sequence[NewJob]:
    # Every process inserts in this order, so that two groups with the same keys cannot wait for each other.
    return sorted(
        new_jobs,
        key=lambda new: (new.unique_key or "", new.idempotency_key or "", new.external_id or ""),
    )


def _delete_refused_bulks(
    connection: Connection, new_jobs: Sequence[NewJob], verdicts: dict[str, Acceptance]
) -> None:
    refused = {new.bulk for new in new_jobs if verdicts[new.id].verdict is Verdict.CONFLICT}
    ids = [
        new.id
        for new in new_jobs
        if new.bulk is not None and new.bulk in refused and verdicts[new.id].verdict is Verdict.NEW
    ]
    if ids:
        connection.execute(delete(job).where(job.c.id.in_(ids)))
        verdicts |= {id_: Acceptance(id_, Verdict.CONFLICT) for id_ in ids}


def _insert(connection: Connection, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> set[str]:
    if _have_call_fields(new_jobs):
        insert = _insert_with_call_fields_statement(connection.dialect.name)
    else:
        insert = _insert_any_statement(connection.dialect.name)
    parameters = _parameters_of_any(connection.dialect.name, new_jobs, unsent_after)
    inserted = set(connection.execute(insert.returning(job.c.id), parameters).scalars())
    tags = [{"tag": t, "job_id": new.id} for new in new_jobs if new.id in inserted for t in new.tags]
    if tags:
        connection.execute(insert_or(connection.dialect.name, tag).on_conflict_do_nothing(), tags)
    return inserted


def _parameters_of_any(dialect: str, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> dict[str, Any]:
    rows: list[tuple[Any, ...]] = [
        (new.id, new.payload, *_shared(new, dialect), new.idempotency_key, new.request_hash, new.unique_key)
        for new in new_jobs
    ]
    form = _ANY_JOBS
    if _have_call_fields(new_jobs):
        form = _JOBS_WITH_CALL_FIELDS
        rows = [(*row, *new[FIRST_CALL_FIELD:]) for row, new in zip(rows, new_jobs, strict=True)]
    return {**form.parameters(dialect, rows), **_unsent_after(new_jobs, unsent_after)}


def _parameters_of_alike(dialect: str, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> dict[str, Any]:
    rows = _ALIKE_JOBS.parameters(dialect, [(new.id, new.payload) for new in new_jobs])
    return {**rows, **_shared_by_name(dialect, new_jobs[0]), **_unsent_after(new_jobs, unsent_after)}


def _parameters_of_one(dialect: str, new: NewJob, unsent_after: timedelta) -> dict[str, Any]:
    own = {"id": new.id, "payload": new.payload}
    return {**own, **_shared_by_name(dialect, new), **_unsent_after([new], unsent_after)}


def _shared_by_name(dialect: str, new: NewJob) -> dict[str, Any]:
    return dict(zip(_SHARED, _shared(new, dialect), strict=True))


def _shared(new: NewJob, dialect: str) -> tuple[Any, ...]:
    return (
        *(new.task, new.queue, new.priority, new.max_attempts, new.parent, new.delay.total_seconds()),
        UtcDateTime.as_json(new.run_at, dialect) if new.run_at else None,
        new.expires_in.total_seconds() if new.expires_in else None,
    )


def _unsent_after(new_jobs: Sequence[NewJob], unsent_after: timedelta) -> dict[str, float]:
    # A long list takes its publisher a while, and must not count as unsent meanwhile.
    return {
        "unsent_after": unsent_after.total_seconds() * (1 + len(new_jobs) / PUBLISHED_WITHIN_UNSENT_AFTER)
    }


@cache
def _insert_any_statement(dialect: str) -> Insert:
    return _insert_from(dialect, _ANY_JOBS.query(dialect))


@cache
def _insert_with_call_fields_statement(dialect: str) -> Insert:
    return _insert_from(dialect, _JOBS_WITH_CALL_FIELDS.query(dialect))


def _insert_alike_statement(dialect: str) -> Insert:
    # Half the work on SQLite, which is mostly to extract JSON values and to compute the time for each row.
    shared = RowParameter(**_SHARED).single_row().selected_columns
    return _insert_from(dialect, _ALIKE_JOBS.query(dialect).add_columns(*shared))


def _insert_one_statement(dialect: str) -> Insert:
    return _insert_from(dialect, _ONE_JOB.single_row())


def _insert_from(dialect: str, query: Select[Any]) -> Insert:
    # Without WITH: on a caller's connection, Python's SQLite driver begins a transaction only before INSERT.
    given = query.subquery("given")
    run_at = func.coalesce(given.c.wanted_at, db_now(plus=given.c.delay))
    computed: dict[str, ColumnElement[Any]] = {
        "status": case((run_at > db_now(), Status.SCHEDULED), else_=Status.QUEUED),
        "run_at": run_at,
        "created_at": db_now(),
        "expires_at": db_now(plus=given.c.expires_in),
        "resend_at": db_now(plus=bindparam("unsent_after", type_=Float)),
    }
    copied = [column for column in given.c if column.name in job.c]
    # Without this WHERE, SQLite would read the ON of ON CONFLICT as the condition of a join.
    rows = select(*copied, *computed.values()).where(true())
    names = [column.name for column in copied] + list(computed)
    return insert_or(dialect, job).from_select(names, rows).on_conflict_do_nothing()


_INSERT: Final = CommittedStatement(_insert_any_statement)
_INSERT_WITH_CALL_FIELDS: Final = CommittedStatement(_insert_with_call_fields_statement)
_INSERT_ALIKE: Final = CommittedStatement(_insert_alike_statement)
_INSERT_ONE: Final = CommittedStatement(_insert_one_statement, finds_one_row=True)


def _find_existing(connection: Connection, new: NewJob) -> Acceptance | None:
    # An earlier try of the same call inserted it, and was interrupted between the commit and the answer.
    if connection.execute(select(job.c.id).where(job.c.id == new.id)).one_or_none():
        return Acceptance(new.id, Verdict.NEW)
    if new.idempotency_key is not None:
        same_key = select(job.c.id, job.c.request_hash).where(job.c.idempotency_key == new.idempotency_key)
        for id_, request_hash in connection.execute(same_key):
            is_same = request_hash == new.request_hash
            return Acceptance(id_, Verdict.REPEATED if is_same else Verdict.CONFLICT)
    if new.external_id is not None:
        same_id = select(job.c.id).where(job.c.external_id == new.external_id)
        for id_ in connection.execute(same_id).scalars():
            return Acceptance(id_, Verdict.REPEATED)
    if new.unique_key is not None:
        has_not_ended = status_is(*WAITING, Status.RUNNING)
        same_key = select(job.c.id).where(job.c.task == new.task, job.c.unique_key == new.unique_key)
        for id_ in connection.execute(same_key.where(has_not_ended)).scalars():
            return Acceptance(id_, Verdict.DUPLICATE)
    return None
