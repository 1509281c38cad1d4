"""How jobs come into the ledger: rows in, and of each that was not new, which job it repeats."""

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
from jobyard.jobs.database.row_parameter import Rows
from jobyard.jobs.database.schema import Id, job, status_is, tag
from jobyard.jobs.database.statement import CommittedStatement
from jobyard.jobs.database.upsert import insert_or
from jobyard.jobs.job import FIRST_OPTION, WAITING, Acceptance, NewJob, Status, Verdict

_TRIES = 3
# Jobs that a publisher sends in `unsent_after` (2 s by default) at the least; measured: 1,500/s to 4,000/s.
PUBLISHED_IN_THAT_TIME = 1000

_Types = Mapping[str, TypeEngine[Any] | type[TypeEngine[Any]]]
_OWN: Final[_Types] = {"id": Id, "payload": Text}
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
_NEW: Final = Rows(**_OWN, **_SHARED, **_KEYS)
_ONE: Final = Rows(**_OWN, **_SHARED)
_ALIKE: Final = Rows(**_OWN)


def accept(connection: Connection, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> list[Acceptance]:
    """Insert jobs, and say of each, in the same order, whether it is new (see `Verdict`).

    The keeper may publish what nobody has published `unsent_after` the acceptance.
    """
    verdicts: dict[str, Acceptance] = {}
    missing = _in_order(new_jobs)
    # A rival may end between our refused insert and our look at it: then the insert is due again.
    for _ in range(_TRIES):
        inserted = _insert(connection, missing, unsent_after)
        verdicts |= {id_: Acceptance(id_, Verdict.NEW) for id_ in inserted}
        missing = [new for new in missing if new.id not in inserted]
        verdicts |= {new.id: twin for new in missing if (twin := _find_twin(connection, new))}
        missing = [new for new in missing if new.id not in verdicts]
        if not missing:
            break
    _take_back_refused_bulks(connection, new_jobs, verdicts)
    return [verdicts[new.id] for new in new_jobs]


def are_all_inserted(database: LedgerDatabase, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> bool:
    """Commit jobs without tags by one statement; where one was not new, `accept` tells which."""
    if not _are_alike(new_jobs):
        inserted = database.run(_INSERT, _given(database.dialect, _in_order(new_jobs), unsent_after)).written
    elif len(new_jobs) == 1:
        inserted = database.run(_INSERT_ONE, _given_one(database.dialect, new_jobs[0], unsent_after)).written
    else:
        inserted = database.run(_INSERT_ALIKE, _given_alike(database.dialect, new_jobs, unsent_after)).written
    return inserted == len(new_jobs)


def _are_alike(new_jobs: Sequence[NewJob]) -> bool:
    # In all but id and payload. A key is one job's own, so who has one is alike nobody.
    first = new_jobs[0]
    if first.idempotency_key is not None or first.unique_key is not None:
        return False
    return all(new.task == first.task and new[FIRST_OPTION:] == first[FIRST_OPTION:] for new in new_jobs)


def _in_order(new_jobs: Sequence[NewJob]) -> Sequence[NewJob]:
    # In one order for everybody, so that two groups with the same keys wait for each other and never both.
    return sorted(new_jobs, key=lambda new: (new.unique_key or "", new.idempotency_key or ""))


def _take_back_refused_bulks(
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
    statement = _inserting(connection.dialect.name).returning(job.c.id)
    given = _given(connection.dialect.name, new_jobs, unsent_after)
    inserted = set(connection.execute(statement, given).scalars())
    tags = [{"tag": t, "job_id": new.id} for new in new_jobs if new.id in inserted for t in new.tags]
    if tags:
        connection.execute(insert_or(connection.dialect.name, tag).on_conflict_do_nothing(), tags)
    return inserted


def _given(dialect: str, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> dict[str, Any]:
    rows = [
        (new.id, new.payload, *_shared(new, dialect), new.idempotency_key, new.request_hash, new.unique_key)
        for new in new_jobs
    ]
    return {**_NEW.parameters(dialect, rows), **_patience(new_jobs, unsent_after)}


def _given_alike(dialect: str, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> dict[str, Any]:
    rows = _ALIKE.parameters(dialect, [(new.id, new.payload) for new in new_jobs])
    return {**rows, **_shared_by_name(dialect, new_jobs[0]), **_patience(new_jobs, unsent_after)}


def _given_one(dialect: str, new: NewJob, unsent_after: timedelta) -> dict[str, Any]:
    own = {"id": new.id, "payload": new.payload}
    return {**own, **_shared_by_name(dialect, new), **_patience([new], unsent_after)}


def _shared_by_name(dialect: str, new: NewJob) -> dict[str, Any]:
    return dict(zip(_SHARED, _shared(new, dialect), strict=True))


def _shared(new: NewJob, dialect: str) -> tuple[Any, ...]:
    return (
        *(new.task, new.queue, new.priority, new.max_attempts, new.parent, new.delay.total_seconds()),
        UtcDateTime.as_json(new.run_at, dialect) if new.run_at else None,
        new.expires_in.total_seconds() if new.expires_in else None,
    )


def _patience(new_jobs: Sequence[NewJob], unsent_after: timedelta) -> dict[str, float]:
    # A long list takes its publisher a while, and is not to be taken for unsent meanwhile.
    return {"unsent_after": unsent_after.total_seconds() * (1 + len(new_jobs) / PUBLISHED_IN_THAT_TIME)}


@cache
def _inserting(dialect: str) -> Insert:
    return _inserting_rows(dialect, _NEW.query(dialect))


def _inserting_alike(dialect: str) -> Insert:
    # Half the work for SQLite: most of it is to find values in JSON, and to tell the time for each row anew.
    shared = Rows(**_SHARED).one().selected_columns
    return _inserting_rows(dialect, _ALIKE.query(dialect).add_columns(*shared))


def _inserting_one(dialect: str) -> Insert:
    return _inserting_rows(dialect, _ONE.one())


def _inserting_rows(dialect: str, query: Select[Any]) -> Insert:
    # No WITH: in a caller's transaction Python's driver for SQLite looks for the word INSERT to begin one.
    given = query.subquery("given")
    run_at = func.coalesce(given.c.wanted_at, db_now(plus=given.c.delay))
    computed: dict[str, ColumnElement[Any]] = {
        "status": case((run_at > db_now(), Status.SCHEDULED), else_=Status.QUEUED),
        "run_at": run_at,
        "created_at": db_now(),
        "expires_at": db_now(plus=given.c.expires_in),
        "resend_at": db_now(plus=bindparam("unsent_after", type_=Float)),
    }
    taken_over = [column for column in given.c if column.name in job.c]
    # SQLite would read the word ON of ON CONFLICT as a part of a join.
    rows = select(*taken_over, *computed.values()).where(true())
    names = [column.name for column in taken_over] + list(computed)
    return insert_or(dialect, job).from_select(names, rows).on_conflict_do_nothing()


_INSERT: Final = CommittedStatement(_inserting)
_INSERT_ALIKE: Final = CommittedStatement(_inserting_alike)
_INSERT_ONE: Final = CommittedStatement(_inserting_one, finds_one=True)


def _find_twin(connection: Connection, new: NewJob) -> Acceptance | None:
    # Handed in before by the same call, which was cut off between the commit and its answer.
    if connection.execute(select(job.c.id).where(job.c.id == new.id)).one_or_none():
        return Acceptance(new.id, Verdict.NEW)
    if new.idempotency_key is not None:
        same_key = select(job.c.id, job.c.request_hash).where(job.c.idempotency_key == new.idempotency_key)
        for id_, request_hash in connection.execute(same_key):
            is_same = request_hash == new.request_hash
            return Acceptance(id_, Verdict.REPEATED if is_same else Verdict.CONFLICT)
    if new.unique_key is not None:
        is_on_its_way = status_is(*WAITING, Status.RUNNING)
        same_key = select(job.c.id).where(job.c.task == new.task, job.c.unique_key == new.unique_key)
        for id_ in connection.execute(same_key.where(is_on_its_way)).scalars():
            return Acceptance(id_, Verdict.DUPLICATE)
    return None
