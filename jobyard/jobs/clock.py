"""The database's clock, for every time that is stored or compared there, and the process's two clocks.

`utc_now()` is for dates that people read, and `monotonic()` measures how long something took; the code
never mixes the two.
"""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, DateTime, Dialect, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["UtcDateTime", "db_now", "monotonic", "utc_from_millis", "utc_now"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return the time by this machine's clock, as an aware datetime."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime: `timestamptz` on PostgreSQL, microseconds since 1970 on SQLite.

    SQLite has no type for times; whole numbers compare and subtract correctly, and text does not.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        type_ = DateTime(timezone=True) if dialect.name == "postgresql" else BigInteger()
        return dialect.type_descriptor(type_)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return self.as_json(value, dialect.name)

    @staticmethod
    def as_json(value: datetime, dialect: str) -> str | int:
        """Return a time in the form in which a database reads it from JSON."""
        return value.isoformat() if dialect == "postgresql" else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return _EPOCH + int(value) * _MICROSECOND


class _DbNow(FunctionElement[datetime]):
    type = UtcDateTime()
    inherit_cache = True


def db_now(plus: timedelta | ColumnElement[float] = timedelta(0)) -> ColumnElement[datetime]:
    """Return SQL for the database's time plus `plus`, which as a column expression is in seconds."""
    return _DbNow(literal(plus.total_seconds()) if isinstance(plus, timedelta) else plus)


@compiles(_DbNow, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **options: Any) -> str:
    # SQLite 3.40 has no unixepoch('subsec'); julianday('now') is exact to a millisecond.
    seconds = compiler.process(element.clauses, **options)
    return f"CAST((julianday('now') - 2440587.5) * 86400000000.0 + ({seconds}) * 1000000.0 AS INTEGER)"


@compiles(_DbNow, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **options: Any) -> str:
    # now() and not clock_timestamp(): PostgreSQL cannot search an index for a volatile value.
    return f"(now() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


def utc_from_millis(millis: int) -> datetime:
    """Return the time that is `millis` milliseconds after the start of 1970 (UTC)."""
    return _EPOCH + timedelta(milliseconds=millis)
