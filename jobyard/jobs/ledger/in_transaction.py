"""Accepts jobs in the caller's own transaction: they exist when it commits, and not if it is rolled back.

No message can be sent before the commit, so the database wakes the keepers: on PostgreSQL `jobyard.accept`
notifies them at the commit. In any case their next pass finds the jobs that were never published.
"""

import sys
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeGuard, cast

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger.accept import accept
from jobyard.jobs.ledger.accept_function import NO_LEDGER, CallTexts, acceptance_of, arguments_of
from jobyard.jobs.ledger.django_connection import is_of_django, psycopg_connection

if TYPE_CHECKING:  # at run time the caller has imported them; SQLAlchemy's asyncio needs greenlet
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session, scoped_session


class PsycopgConnection(Protocol):
    """A `psycopg.Connection`, described here so that programs without psycopg are type-checked too."""

    @property
    def pgconn(self) -> Any: ...
    def commit(self) -> None: ...


class AsyncPsycopgConnection(Protocol):
    """A `psycopg.AsyncConnection`."""

    @property
    def pgconn(self) -> Any: ...
    def commit(self) -> Coroutine[Any, Any, None]: ...


class DjangoConnection(Protocol):
    """`django.db.connection`, or one of `django.db.connections`."""

    vendor: Any

    def ensure_connection(self) -> None: ...


Transaction: TypeAlias = "Connection | Session | scoped_session[Any] | PsycopgConnection | DjangoConnection"
AsyncTransaction: TypeAlias = "AsyncConnection | AsyncSession | AsyncPsycopgConnection"

_NO_LEDGER_STATES: Final = ("3F000", "42883")  # no such schema, no such function
_SESSIONS: Final = ("Session", "scoped_session")
_CALLS: Final = CallTexts.with_marker(":{}")
_CALL: Final = text(_CALLS.plain)
_CALL_WITH_FIELDS: Final = text(_CALLS.with_call_fields)


def accept_within(transaction: Transaction, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    """Insert jobs in an open transaction or in one that begins here; the caller commits.

    Raises `TypeError` for an object of another kind, and `LedgerUnavailableError` for a database without a
    ledger.
    """
    check_transaction(transaction)
    if is_of_django(transaction):
        transaction = cast(PsycopgConnection, psycopg_connection(transaction))
    if _is_instance(transaction, "psycopg", "Connection"):
        from jobyard.jobs.ledger.in_psycopg_transaction import accept_by_psycopg

        return accept_by_psycopg(transaction, new_jobs)
    if isinstance(transaction, Connection):
        return _accept_by_sqlalchemy(transaction, new_jobs)
    return _accept_by_sqlalchemy(cast(Any, transaction).connection(), new_jobs)


def check_transaction(transaction: object) -> None:
    """Raise `TypeError` for what `accept_within` does not take."""
    if not _is_synchronous(transaction):
        is_async = _is_asynchronous(transaction)
        hint = "; use `await task.submit_async(...)`, or `delay_async`" if is_async else ""
        raise TypeError(
            "connection must be a Connection or Session of SQLAlchemy, or a connection of psycopg 3 or Django"
            f", not a {type(transaction).__name__}{hint}"
        )


def check_async_transaction(transaction: object) -> None:
    """Raise `TypeError` for what `accept_within_async` does not take."""
    if not _is_asynchronous(transaction):
        hint = "; use `task.submit(...)`, or `delay`" if _is_synchronous(transaction) else ""
        raise TypeError(
            "connection must be an AsyncConnection or AsyncSession of SQLAlchemy, or an AsyncConnection of "
            f"psycopg 3, not a {type(transaction).__name__}{hint}"
        )


def _is_synchronous(transaction: object) -> bool:
    return (
        isinstance(transaction, Connection)
        or _is_instance(transaction, "psycopg", "Connection")
        or _is_instance(transaction, "sqlalchemy.orm", *_SESSIONS)
        or is_of_django(transaction)
    )


def _is_asynchronous(transaction: object) -> bool:
    return hasattr(transaction, "run_sync") or _is_instance(transaction, "psycopg", "AsyncConnection")


def _is_instance(transaction: object, package: str, *kinds: str) -> TypeGuard[Any]:
    # A caller with an object of this package has imported the package; others need not wait for its import.
    found = sys.modules.get(package)
    return found is not None and isinstance(transaction, tuple(getattr(found, kind) for kind in kinds))


async def accept_within_async(
    transaction: "AsyncTransaction", new_jobs: Sequence[NewJob]
) -> list[Acceptance]:
    """Do the same as `accept_within`, for asynchronous connections."""
    check_async_transaction(transaction)
    if _is_instance(transaction, "psycopg", "AsyncConnection"):
        from jobyard.jobs.ledger.in_psycopg_transaction import accept_by_async_psycopg

        return await accept_by_async_psycopg(transaction, new_jobs)
    acceptances: list[Acceptance] = await cast(Any, transaction).run_sync(accept_within, new_jobs)
    return acceptances


def _accept_by_sqlalchemy(connection: Connection, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    try:
        if connection.dialect.name == "sqlite":
            return accept(connection, new_jobs, unsent_after=timedelta(0))
        rows = [
            connection.execute(_CALL_WITH_FIELDS if new.has_call_fields else _CALL, arguments_of(new)).one()
            for new in new_jobs
        ]
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if state in _NO_LEDGER_STATES or "no such table" in str(error.orig):
            raise LedgerUnavailableError(NO_LEDGER) from error
        raise
    return [acceptance_of(*row) for row in rows]
