"""Passes many rows to a statement as one parameter: JSON text, which the database unfolds into a relation.

A group of any length is then one statement with always the same text, and one round trip. Compared by
measurement with lists of values, `executemany` and arrays: `docs/decisions/0009-groups-as-one-parameter.md`.
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
# The prefix of a CTE that the planner must not merge with its surroundings (PostgreSQL 12, SQLite 3.35).
MATERIALIZED: Final = "MATERIALIZED"


class RowParameter:
    """The parameter of a statement that takes rows: the names and types of their columns, in order."""

    def __init__(self, **columns: TypeEngine[Any] | type[TypeEngine[Any]]) -> None:
        self._columns = columns

    def relation(self, dialect: str) -> CTE:
        """Return the CTE that stands for the rows in a statement of this dialect."""
        return self.query(dialect).cte("given").prefix_with(MATERIALIZED)

    def query(self, dialect: str) -> Select[Any]:
        """Return the query that unfolds the rows, for a statement that must not begin with WITH."""
        text = bindparam(_PARAMETER, type_=Text)
        if dialect == POSTGRESQL:
            columns = [column(name, type_) for name, type_ in self._columns.items()]
            unfolded = func.json_to_recordset(cast(text, JSON)).table_valued(*columns)
            return select(*unfolded.render_derived(name="unfolded", with_types=True).c)
        element = func.json_each(text).table_valued("value", name="element").c.value
        values = [
            func.json_extract(element, literal_column(f"'$[{index}]'"), type_=type_).label(name)
            for index, (name, type_) in enumerate(self._columns.items())
        ]
        return select(*values)

    def single_row(self) -> Select[Any]:
        """Return the query of a single row, whose values are parameters with the names of its columns.

        Under light load most groups hold one row, and unfolding it would be most of the statement's work.
        """
        return select(*(cast(bindparam(name), type_).label(name) for name, type_ in self._columns.items()))

    def parameters(self, dialect: str, rows: Iterable[Sequence[Any]]) -> Mapping[str, str]:
        """Return rows as the parameter: values in the order of the columns, times as `as_json` gives them."""
        elements: Iterable[Any] = rows
        if dialect == POSTGRESQL:
            elements = (dict(zip(self._columns, row, strict=True)) for row in rows)
        return {_PARAMETER: pydantic_core.to_json(list(elements)).decode()}


IDS: Final = RowParameter(id=Id)
