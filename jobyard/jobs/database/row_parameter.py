"""Rows given to a statement as one parameter: JSON text, which either database unfolds into a relation.

So a group of any length is one statement and one round trip, and the statement is always the same text.
Measured beside lists of values, `executemany` and arrays: `docs/decisions/0009-groups-as-one-parameter.md`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pydantic_core
from sqlalchemy import (
    CTE,
    JSON,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.types import TypeEngine

from jobyard.jobs.database.schema import Id

_PARAMETER: Final = "given_rows"
POSTGRESQL: Final = "postgresql"
# Since PostgreSQL 12 and SQLite 3.35: what a planner must not mix with what is around it.
FENCE: Final = "MATERIALIZED"


class Rows:
    """The shape of the rows that a statement is given: the names and types of their columns, in order."""

    def __init__(self, **columns: TypeEngine[Any] | type[TypeEngine[Any]]) -> None:
        self._columns = columns

    def relation(self, dialect: str) -> CTE:
        """Return the table that stands for the rows in a statement of this dialect."""
        return self.query(dialect).cte("given").prefix_with(FENCE)

    def query(self, dialect: str) -> Select[Any]:
        """Return the query that unfolds the rows, for a statement that must not begin with WITH."""
        text = bindparam(_PARAMETER, type_=Text)
        if dialect == POSTGRESQL:
            columns = [column(name, type_) for name, type_ in self._columns.items()]
            unfolded = func.json_to_recordset(cast(text, JSON)).table_valued(*columns)
            return select(*unfolded.render_derived(name="unfolded", with_types=True).c)
        element = func.json_each(text).table_valued("value", name="element").c.value
        values = [
            func.json_extract(element, literal_column(f"'$[{place}]'"), type_=type_).label(name)
            for place, (name, type_) in enumerate(self._columns.items())
        ]
        return select(*values)

    def one(self) -> Select[Any]:
        """Return the query of a single row whose values are parameters by the names of their columns.

        A group of one is what a quiet yard has, and to unfold it would be most of what its statement does.
        """
        return select(*(cast(bindparam(name), type_).label(name) for name, type_ in self._columns.items()))

    def parameters(self, dialect: str, rows: Iterable[Sequence[Any]]) -> Mapping[str, str]:
        """Return the rows, values in the order of the columns and dates by `as_json`, as a parameter."""
        given: Iterable[Any] = rows
        if dialect == POSTGRESQL:
            given = (dict(zip(self._columns, row, strict=True)) for row in rows)
        return {_PARAMETER: pydantic_core.to_json(list(given)).decode()}


IDS: Final = Rows(id=Id)
