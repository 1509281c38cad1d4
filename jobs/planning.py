"""What the databases' planners are told, where they would read all that waits to find what is due."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from jobs.job import Status
from jobs.rows import POSTGRESQL
from jobs.schema import status_is


class _IsOften(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """Overridden so that SQLite is not asked for `likely(...) = 1`, in which it sees no condition."""
        return self


def status_is_often(*statuses: Status) -> ColumnElement[bool]:
    """Return `status_is` for statuses that a million jobs may have, of which few fit the rest of a query.

    SQLite thinks that ten rows have any one status, and takes the index over every status and not the duty's
    own: with a million queued jobs each look of the keeper read a million rows.
    """
    return _IsOften(status_is(*statuses))


@compiles(_IsOften, "sqlite")
def _likely(element: Any, compiler: Any, **options: Any) -> str:
    return f"likely({compiler.process(element.clauses, **options)})"


@compiles(_IsOften, "postgresql")
def _as_it_is(element: Any, compiler: Any, **options: Any) -> str:
    # Has figures of its own, and would not see a partial index behind a function.
    return str(compiler.process(element.clauses, **options))


def keep_order_by_index(connection: Connection) -> None:
    """Make this transaction read what it wants in order by the index that has that order.

    PostgreSQL thinks that few jobs are due, and sorts all of them for each group that is taken.
    """
    if connection.dialect.name == POSTGRESQL:
        connection.exec_driver_sql("SET LOCAL enable_sort = off")
