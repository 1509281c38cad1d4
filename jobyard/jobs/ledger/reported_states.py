"""Writes what running attempts say of themselves: a row of its own for each job that says something.

Such a row is none of the job's columns, so that claiming and settling cost the same with it as without.
"""

from collections.abc import Sequence

from sqlalchemy import Integer, String, Text, bindparam, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import Id, job, reported_state
from jobyard.jobs.database.upsert import insert_or
from jobyard.jobs.job import ReportedState, Status

_COLUMNS = ("job_id", "attempt", "state", "meta", "reported_at")


def write_reported_states(database: LedgerDatabase, reported: Sequence[ReportedState]) -> None:
    """Commit the states of attempts that still run, each instead of the last one of its job.

    An attempt of None is the one that runs. Raises `LedgerUnavailableError`.
    """
    running = (
        select(
            job.c.id,
            job.c.attempt,
            bindparam("its_state", type_=String(64)),
            bindparam("its_meta", type_=Text),
            db_now(),
        )
        .where(job.c.id == bindparam("its_id", type_=Id), job.c.status == Status.RUNNING)
        .where(
            bindparam("its_attempt", type_=Integer).is_(None) | (job.c.attempt == bindparam("its_attempt"))
        )
    )
    statement = insert_or(database.dialect, reported_state).from_select(_COLUMNS, running)
    new = {name: statement.excluded[name] for name in _COLUMNS[1:]}
    upsert = statement.on_conflict_do_update(index_elements=["job_id"], set_=new)
    rows = [
        {"its_id": one.job_id, "its_attempt": one.attempt, "its_state": one.state, "its_meta": one.meta}
        for one in sorted(reported)
    ]
    if rows:
        with database.writing() as connection:
            connection.execute(upsert, rows)
