"""Transactions of one statement, which nearly every job meets: composed by SQLAlchemy, run on the driver.

SQLAlchemy's way to run a statement costs four times what SQLite takes for a transaction of one job, and on
PostgreSQL four round trips where one is enough (docs/decisions/0019).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import Dialect, Engine, PoolProxiedConnection
from sqlalchemy.sql.dml import UpdateBase

from jobyard.jobs.database.faults import errors_of_sqlalchemy, named_faults
from jobyard.jobs.database.fork_gate import inside_gate
from jobyard.jobs.database.row_parameter import POSTGRESQL
from jobyard.jobs.database.sqlite_write_lock import own_turn
from jobyard.jobs.database.write_connections import PATIENCE, Outlives, take_write_lock, writers_of

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


class SingleStatement:
    """A statement of which `compose` makes the form for a dialect, and that is committed by itself.

    Where it `finds_one` row by its id, or none, PostgreSQL plans it once for a connection; else each time.

    Both methods raise `LedgerUnavailableError`, and SQLAlchemy's errors for a wrong value; nothing has
    changed then, unless the connection broke, or the caller was interrupted, during the commit itself.
    """

    def __init__(
        self,
        compose: Callable[[str], UpdateBase],
        *,
        outlives: Outlives = Outlives.POWER,
        finds_one: bool = False,
    ) -> None:
        self._compose, self._outlives, self._finds_one = compose, outlives, finds_one
        self._forms: dict[str, _Form] = {}

    def rows(self, engine: Engine, parameters: Mapping[str, Any]) -> list[Row]:
        """Return what the statement returns, in Python's types."""
        rows, _ = self._run(engine, parameters)
        return rows

    def count(self, engine: Engine, parameters: Mapping[str, Any]) -> int:
        """Return how many rows the statement has written."""
        _, count = self._run(engine, parameters)
        return count

    def _run(self, engine: Engine, parameters: Mapping[str, Any]) -> tuple[list[Row], int]:
        with inside_gate(), named_faults(engine), own_turn(engine), errors_of_sqlalchemy(engine):
            connection = writers_of(engine).statements[self._outlives].raw_connection()
            form = self._form(engine.dialect)
            try:
                done = _RUN[engine.dialect.name](connection, form, form.parameters(parameters))
            except BaseException:
                # Wherever it was interrupted: what was not committed goes with the connection.
                connection.invalidate()
                raise
            connection.close()
            return done

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


def _run_on_sqlite(connection: PoolProxiedConnection, form: _Form, parameters: Any) -> tuple[list[Row], int]:
    driver = cast(Any, connection.driver_connection)
    take_write_lock(driver, connection.info[PATIENCE])
    done = _executed(driver.execute, form, parameters)
    driver.execute("COMMIT")
    return done


def _run_on_postgresql(
    connection: PoolProxiedConnection, form: _Form, parameters: Any
) -> tuple[list[Row], int]:
    driver = cast(Any, connection.driver_connection)
    return _executed(partial(driver.execute, prepare=form.keeps_plan), form, parameters)


def _executed(execute: Callable[[str, Any], _Cursor], form: _Form, parameters: Any) -> tuple[list[Row], int]:
    cursor = execute(form.text, parameters)
    rows = cursor.fetchall() if form.has_rows else []
    return form.converted(rows), cursor.rowcount


_RUN: Final = {"sqlite": _run_on_sqlite, POSTGRESQL: _run_on_postgresql}
