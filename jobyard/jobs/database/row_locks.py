"""Finds jobs by their ids alone and locks them in one order, as every change of given jobs begins.

By id alone, because a planner with old statistics expects few queued jobs, and would scan all of them.
"""

from sqlalchemy import CTE, ColumnElement, FromClause, Select, any_, func, or_, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.row_parameter import IDS, MATERIALIZED, POSTGRESQL
from jobyard.jobs.database.schema import job


def is_among(dialect: str, ids: Select[tuple[str]]) -> ColumnElement[bool]:
    """Return the condition that a job's id is among these, so that the primary key is searched for it."""
    if dialect == POSTGRESQL:
        # PostgreSQL expects an array to be short, and looks each id up; it expects a query to be long, and
        # then may read all rows that match the rest of the statement.
        return job.c.id == any_(func.array(ids.scalar_subquery()))
    return job.c.id.in_(ids)


def locked_jobs(dialect: str, given: FromClause, *, skip_locked: bool = False) -> CTE:
    """Return a CTE of the jobs with the ids in `given`, locked: `id`, `status`, `attempt`, `is_in_time`.

    Of two statements that lock the same rows in one order, one waits for the other; in different orders each
    may wait for the other (PostgreSQL ends one as a deadlock). SQLite has one writer.
    """
    return (
        select(job.c.id, job.c.status, job.c.attempt, is_in_time().label("is_in_time"))
        .where(is_among(dialect, select(given.c.id)))
        .order_by(job.c.id)
        .with_for_update(skip_locked=skip_locked)
        .cte("held")
        .prefix_with(MATERIALIZED)
    )


def current_jobs(dialect: str, given: FromClause) -> FromClause:
    """Return a relation with status and attempt of the jobs in `given`: locked rows, or SQLite's table.

    On SQLite no other connection writes meanwhile. A statement that joins `given` with the table looks each
    job up; if it joined `given` with `locked_jobs`, it would scan all of `given` for each job.
    """
    return locked_jobs(dialect, given) if dialect == POSTGRESQL else job


def locked_jobs_by_id(dialect: str, *, skip_locked: bool = False) -> CTE:
    """Return `locked_jobs` for ids that are passed as the parameter `IDS`."""
    return locked_jobs(dialect, IDS.relation(dialect), skip_locked=skip_locked)


def is_in_time() -> ColumnElement[bool]:
    """Return the condition that an attempt of a job may begin now, the first or a later one."""
    return or_(job.c.expires_at.is_(None), job.c.expires_at > db_now())
