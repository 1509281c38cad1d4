"""Transactions of one statement, which nearly every job meets: composed by SQLAlchemy, run on the driver.

SQLAlchemy's way to run a statement costs four times what SQLite takes for a transaction of one job, and on
PostgreSQL four round trips where one is enough (docs/decisions/0019).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import Dialect, PoolProxiedConnection
from sqlalchemy.sql.dml import UpdateBase

from jobyard.jobs.database.engines import Outlives
from jobyard.jobs.database.row_parameter import POSTGRESQL
from jobyard.jobs.database.sqlite import PATIENCE, take_write_lock

Row = tuple[Any, ...]
Convert = Callable[[Any], Any]


class _Cursor(Protocol):
    """What both drivers have (PEP 249), after they have executed a statement."""

    @property
    def rowcount(self) -> int: ...
    def fetchall(self) -> list[Row]: ...


class _Form(NamedTuple):
    """A statement as a driver takes it."""

    text: str
    constants: Mapping[str, Any]
    order: Sequence[str] | None  # of parameters that have places and no names
    conversions: Sequence[tuple[int, Convert]]
    has_rows: bool
    keeps_plan: bool

    def parameters(self, given: Mapping[str, Any]) -> Any:
        values = {**self.constants, **given}
        return values if self.order is None else [values[name] for name in self.order]

    def converted(self, rows: list[Row]) -> list[Row]:
        return [self._converted(row) for row in rows] if self.conversions else rows

    def _converted(self, row: Row) -> Row:
        values = list(row)
        for place, convert in self.conversions:
            values[place] = convert(values[place])
        return tuple(values)


class Done(NamedTuple):
    """The rows that a statement returned, in Python's types, and how many it has written."""

    rows: list[Row]
    written: int


class CommittedStatement:
    """A statement of which `compose` makes the form for a dialect, and that is committed by itself.

    Where it `finds_one` row by its id, or none, PostgreSQL plans it once for a connection; else each time.
    `LedgerDatabase.run` runs it.
    """

    def __init__(
        self,
        compose: Callable[[str], UpdateBase],
        *,
        outlives: Outlives = Outlives.POWER,
        finds_one: bool = False,
    ) -> None:
        self._compose, self.outlives, self._finds_one = compose, outlives, finds_one
        self._forms: dict[str, _Form] = {}

    def run(self, connection: PoolProxiedConnection, dialect: Dialect, parameters: Mapping[str, Any]) -> Done:
        """Run and commit the statement on a connection; raises what the driver raises."""
        form = self._form(dialect)
        return _RUN[dialect.name](connection, form, form.parameters(parameters))

    def _form(self, dialect: Dialect) -> _Form:
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = _form_of(
                self._compose(dialect.name), dialect, keeps_plan=self._finds_one
            )
        return form


def _form_of(statement: UpdateBase, dialect: Dialect, *, keeps_plan: bool) -> _Form:
    compiled = statement.compile(dialect=dialect)
    columns = statement.exported_columns
    conversions = [
        (place, convert)
        for place, column in enumerate(columns)
        if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None))
    ]
    return _Form(
        str(compiled),
        # A member of an enumeration is a word to SQLAlchemy, and to no driver.
        {name: str(v) if isinstance(v, str) else v for name, v in compiled.params.items()},
        compiled.positiontup if compiled.positional else None,
        conversions,
        has_rows=bool(columns),
        keeps_plan=keeps_plan,
    )


def _run_on_sqlite(connection: PoolProxiedConnection, form: _Form, parameters: Any) -> Done:
    driver = cast(Any, connection.driver_connection)
    take_write_lock(driver, connection.info[PATIENCE])
    done = _executed(driver.execute, form, parameters)
    driver.execute("COMMIT")
    return done


def _run_on_postgresql(connection: PoolProxiedConnection, form: _Form, parameters: Any) -> Done:
    driver = cast(Any, connection.driver_connection)
    return _executed(partial(driver.execute, prepare=form.keeps_plan), form, parameters)


def _executed(execute: Callable[[str, Any], _Cursor], form: _Form, parameters: Any) -> Done:
    cursor = execute(form.text, parameters)
    rows = cursor.fetchall() if form.has_rows else []
    return Done(form.converted(rows), cursor.rowcount)


_RUN: Final = {"sqlite": _run_on_sqlite, POSTGRESQL: _run_on_postgresql}
