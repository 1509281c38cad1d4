"""Jobs found by their ids alone, and locked in one order: what every change of given jobs begins with.

By id, because a planner with old figures thinks that hardly a job is queued, and looks through all that are.
"""

from sqlalchemy import CTE, ColumnElement, FromClause, Select, any_, func, or_, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.row_parameter import FENCE, IDS, POSTGRESQL
from jobyard.jobs.database.schema import job


def is_among(dialect: str, ids: Select[tuple[str]]) -> ColumnElement[bool]:
    """Return the condition that a job's id is among these, for which its primary key is searched."""
    if dialect == POSTGRESQL:
        # Of an array PostgreSQL thinks that it is short, and looks each id up; of a query that it is long,
        # and then it may read all that fits the rest of the statement.
        return job.c.id == any_(func.array(ids.scalar_subquery()))
    return job.c.id.in_(ids)


def locked(dialect: str, given: FromClause, *, skip_locked: bool = False) -> CTE:
    """Return a table of the jobs with the ids in `given`, locked: `id`, `status`, `attempt`, `is_in_time`.

    Two statements that lock the same rows in the same order wait for each other; in different orders they can
    wait for ever (PostgreSQL ends one as a deadlock). SQLite has one writer.
    """
    return (
        select(job.c.id, job.c.status, job.c.attempt, is_in_time().label("is_in_time"))
        .where(is_among(dialect, select(given.c.id)))
        .order_by(job.c.id)
        .with_for_update(skip_locked=skip_locked)
        .cte("held")
        .prefix_with(FENCE)
    )


def held(dialect: str, given: FromClause) -> FromClause:
    """Return where a statement finds status and attempt of the jobs in `given`: locked, or as they are.

    On SQLite nobody else writes meanwhile. A statement that joins `given` with the table itself looks each
    job up; joined with `locked` it would look through all of `given` for each.
    """
    return locked(dialect, given) if dialect == POSTGRESQL else job


def locked_by_id(dialect: str, *, skip_locked: bool = False) -> CTE:
    """Return `locked` for ids that the statement is given as `IDS`."""
    return locked(dialect, IDS.relation(dialect), skip_locked=skip_locked)


def is_in_time() -> ColumnElement[bool]:
    """Return the condition that a job has started once, or may start now; `expires_at` asks no more."""
    return or_(job.c.expires_at.is_(None), job.c.started_at.is_not(None), job.c.expires_at > db_now())
