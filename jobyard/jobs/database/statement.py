"""Transactions of one statement, which nearly every job needs: composed by SQLAlchemy, run by the driver.

Running a statement through SQLAlchemy costs four times what SQLite needs for a transaction of one job, and
takes four round trips on PostgreSQL where one is enough (docs/decisions/0019).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import Dialect, Float, PoolProxiedConnection
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from jobyard.jobs.database.engines import Durability
from jobyard.jobs.database.row_parameter import POSTGRESQL
from jobyard.jobs.database.sqlite import WRITE_TIMEOUT, execute_when_free, take_write_lock

Row = tuple[Any, ...]
Convert = Callable[[Any], Any]


class _Cursor(Protocol):
    """The cursor of both drivers (PEP 249), after a statement was executed."""

    @property
    def rowcount(self) -> int: ...
    def fetchall(self) -> list[Row]: ...


class _CompiledStatement(NamedTuple):
    """A statement in the form that a driver takes."""

    text: str
    constants: Mapping[str, Any]
    positional_names: Sequence[str] | None  # the order of the parameters, where they have no names
    conversions: Sequence[tuple[int, Convert]]
    has_rows: bool
    keeps_plan: bool

    def parameters(self, variables: Mapping[str, Any]) -> Any:
        values = {**self.constants, **variables}
        names = self.positional_names
        return values if names is None else [values[name] for name in names]

    def converted(self, rows: list[Row]) -> list[Row]:
        return [self._converted(row) for row in rows] if self.conversions else rows

    def _converted(self, row: Row) -> Row:
        values = list(row)
        for index, convert in self.conversions:
            values[index] = convert(values[index])
        return tuple(values)


class StatementResult(NamedTuple):
    """The rows that a statement returned, in Python's types, and the number of rows that it wrote."""

    rows: list[Row]
    written: int


class CommittedStatement:
    """A statement that is a transaction of its own; `compose` makes it for a dialect.

    If it `finds_one_row` by its id, PostgreSQL plans it once for a connection, and otherwise each time.
    `LedgerDatabase.run` runs it.
    """

    def __init__(
        self,
        compose: Callable[[str], UpdateBase],
        *,
        durability: Durability = Durability.FULL,
        finds_one_row: bool = False,
    ) -> None:
        self._compose, self.durability, self._finds_one_row = compose, durability, finds_one_row
        self._compiled: dict[str, _CompiledStatement] = {}

    def run(
        self, connection: PoolProxiedConnection, dialect: Dialect, parameters: Mapping[str, Any]
    ) -> StatementResult:
        """Run and commit the statement on a connection; raises the driver's errors."""
        compiled = self._compiled_for(dialect)
        return _RUN[dialect.name](connection, compiled, compiled.parameters(parameters))

    def _compiled_for(self, dialect: Dialect) -> _CompiledStatement:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(
                self._compose(dialect.name), dialect, keeps_plan=self._finds_one_row
            )
        return compiled


def _conversion(type_: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    # Both drivers return numbers as such, and SQLAlchemy would ask for the code that PostgreSQL gives a type.
    is_number = isinstance(type_, Float)
    return None if is_number else type_.dialect_impl(dialect).result_processor(dialect, None)


def _compile(statement: UpdateBase, dialect: Dialect, *, keeps_plan: bool) -> _CompiledStatement:
    compiled = statement.compile(dialect=dialect)
    columns = statement.exported_columns
    conversions = [
        (index, convert)
        for index, column in enumerate(columns)
        if (convert := _conversion(column.type, dialect))
    ]
    return _CompiledStatement(
        str(compiled),
        # SQLAlchemy takes a member of a `StrEnum` as text; the drivers do not.
        {name: str(v) if isinstance(v, str) else v for name, v in compiled.params.items()},
        compiled.positiontup if compiled.positional else None,
        conversions,
        has_rows=bool(columns),
        keeps_plan=keeps_plan,
    )


def _run_on_sqlite(
    connection: PoolProxiedConnection, compiled: _CompiledStatement, parameters: Any
) -> StatementResult:
    driver, timeout_seconds = cast(Any, connection.driver_connection), connection.info[WRITE_TIMEOUT]
    if not compiled.has_rows:
        # One call of the library locks, writes and commits, and does not need the interpreter meanwhile: so a
        # thread that keeps the interpreter (a long regular expression) does not keep the lock from others.
        cursor = execute_when_free(driver, compiled.text, timeout_seconds, parameters)
        return StatementResult([], cursor.rowcount)
    take_write_lock(driver, timeout_seconds)
    result = _execute(driver.execute, compiled, parameters)
    driver.execute("COMMIT")
    return result


def _run_on_postgresql(
    connection: PoolProxiedConnection, compiled: _CompiledStatement, parameters: Any
) -> StatementResult:
    driver = cast(Any, connection.driver_connection)
    return _execute(partial(driver.execute, prepare=compiled.keeps_plan), compiled, parameters)


def _execute(
    execute: Callable[[str, Any], _Cursor], compiled: _CompiledStatement, parameters: Any
) -> StatementResult:
    cursor = execute(compiled.text, parameters)
    rows = cursor.fetchall() if compiled.has_rows else []
    return StatementResult(compiled.converted(rows), cursor.rowcount)


_RUN: Final = {"sqlite": _run_on_sqlite, POSTGRESQL: _run_on_postgresql}
