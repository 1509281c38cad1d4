"""Transactions of one statement, which nearly every job meets: composed by SQLAlchemy, run on the driver.

SQLAlchemy's way to run a statement costs four times what SQLite takes for a transaction of one job, and on
PostgreSQL four round trips where one is enough (docs/decisions/0019).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import Dialect, Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

from jobs.database_faults import named_faults
from jobs.forking import inside_gate
from jobs.rows import POSTGRESQL
from jobs.turns import own_turn

Row = tuple[Any, ...]
Convert = Callable[[Any], Any]


class _Cursor(Protocol):
    """What both drivers have (PEP 249)."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, statement: str, parameters: Any = ..., /) -> object: ...
    def fetchall(self) -> list[Row]: ...


class _Form(NamedTuple):
    """A statement as a driver takes it."""

    text: str
    constants: Mapping[str, Any]
    order: Sequence[str] | None  # of parameters that have places and no names
    conversions: Sequence[tuple[int, Convert]]
    has_rows: bool

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

    Both methods raise `LedgerUnavailableError`, and SQLAlchemy's errors for a wrong value; nothing has
    changed then, unless the connection broke, or the caller was interrupted, during the commit itself.
    """

    def __init__(self, compose: Callable[[str], UpdateBase]) -> None:
        self._compose = compose
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
        with inside_gate(), named_faults(engine), own_turn(engine), _errors_of_sqlalchemy(engine):
            connection = engine.raw_connection()
            form = self._form(engine.dialect)
            try:
                done = _RUN[engine.dialect.name](connection, form, form.parameters(parameters))
            except BaseException:
                _undo(connection, engine)
                raise
            connection.close()
            return done

    def _form(self, dialect: Dialect) -> _Form:
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = _form_of(self._compose(dialect.name), dialect)
        return form


def _form_of(statement: UpdateBase, dialect: Dialect) -> _Form:
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
    )


def _undo(connection: PoolProxiedConnection, engine: Engine) -> None:
    # Wherever it was interrupted: what was not committed goes with the connection. Closing alone would leave
    # SQLite's lock where a traceback holds a cursor.
    with suppress(_driver_error(engine)):
        connection.rollback()
    connection.invalidate()


@contextmanager
def _errors_of_sqlalchemy(engine: Engine) -> Iterator[None]:
    try:
        yield
    except _driver_error(engine) as error:
        # Without the parameters, which are people's payloads.
        raise DBAPIError.instance(None, None, error, _driver_error(engine), dialect=engine.dialect) from error


def _driver_error(engine: Engine) -> type[Exception]:
    its_error: type[Exception] = engine.dialect.loaded_dbapi.Error
    return its_error


def _run_on_sqlite(connection: PoolProxiedConnection, form: _Form, parameters: Any) -> tuple[list[Row], int]:
    cursor = cast(_Cursor, connection.cursor())
    cursor.execute("BEGIN IMMEDIATE")
    done = _executed(cursor, form, parameters)
    cursor.execute("COMMIT")
    return done


def _run_on_postgresql(
    connection: PoolProxiedConnection, form: _Form, parameters: Any
) -> tuple[list[Row], int]:
    driver = cast(Any, connection.driver_connection)
    driver.autocommit = True
    done = _executed(driver.cursor(), form, parameters)
    driver.autocommit = False
    return done


def _executed(cursor: _Cursor, form: _Form, parameters: Any) -> tuple[list[Row], int]:
    cursor.execute(form.text, parameters)
    rows = cursor.fetchall() if form.has_rows else []
    return form.converted(rows), cursor.rowcount


_RUN: Final = {"sqlite": _run_on_sqlite, POSTGRESQL: _run_on_postgresql}
