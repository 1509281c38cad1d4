"""Jobs in the caller's own transaction: there when it commits, gone when it is rolled back.

Nobody can be told of them before the commit, so it is the database that rings: on PostgreSQL `jobyard.accept`
notifies the keepers at the commit, and in any case their next pass finds what was never published.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard, cast

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger.accept import accept
from jobyard.jobs.ledger.accept_function import NO_LEDGER, acceptance_of, call, values_of

if TYPE_CHECKING:  # at run time who uses them has them; SQLAlchemy's asyncio needs greenlet
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session, scoped_session

Transaction: TypeAlias = "Connection | Session | scoped_session[Any] | psycopg.Connection[Any]"
AsyncTransaction: TypeAlias = "AsyncConnection | AsyncSession | psycopg.AsyncConnection[Any]"

_NOTHING_THERE: Final = ("3F000", "42883")  # no such schema, no such function
_SESSIONS: Final = ("Session", "scoped_session")
_SQLALCHEMY_CALL: Final = text(call(":{}"))


def accept_within(transaction: Transaction, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    """Insert jobs in a transaction that is open, or begins with it; the caller commits.

    Raises `TypeError` for what is no transaction, and `LedgerUnavailableError` for one of another database.
    """
    if _is(transaction, "psycopg", "Connection"):
        from jobyard.jobs.ledger.in_psycopg_transaction import accept_by_psycopg

        return accept_by_psycopg(transaction, new_jobs)
    if isinstance(transaction, Connection):
        return _accept_by_sqlalchemy(transaction, new_jobs)
    if _is(transaction, "sqlalchemy.orm", *_SESSIONS):
        return _accept_by_sqlalchemy(transaction.connection(), new_jobs)
    is_async = hasattr(transaction, "run_sync") or _is(transaction, "psycopg", "AsyncConnection")
    hint = "; use `await task.submit_async(...)`" if is_async else ""
    raise TypeError(
        "connection must be a Connection or Session of SQLAlchemy, or a Connection of psycopg 3, not a "
        f"{type(transaction).__name__}{hint}"
    )


def _is(transaction: object, package: str, *kinds: str) -> TypeGuard[Any]:
    # Who has such a connection has imported its package, and nobody else needs to wait for that.
    found = sys.modules.get(package)
    return found is not None and isinstance(transaction, tuple(getattr(found, kind) for kind in kinds))


async def accept_within_async(
    transaction: "AsyncTransaction", new_jobs: Sequence[NewJob]
) -> list[Acceptance]:
    """As `accept_within`, for the asynchronous kinds of connection."""
    if _is(transaction, "psycopg", "AsyncConnection"):
        from jobyard.jobs.ledger.in_psycopg_transaction import accept_by_async_psycopg

        return await accept_by_async_psycopg(transaction, new_jobs)
    if not hasattr(transaction, "run_sync"):
        is_sync = (
            isinstance(transaction, Connection)
            or _is(transaction, "psycopg", "Connection")
            or _is(transaction, "sqlalchemy.orm", *_SESSIONS)
        )
        hint = "; use `task.submit(...)`" if is_sync else ""
        raise TypeError(
            "connection must be an AsyncConnection or AsyncSession of SQLAlchemy, or an AsyncConnection of "
            f"psycopg 3, not a {type(transaction).__name__}{hint}"
        )
    acceptances: list[Acceptance] = await cast(Any, transaction).run_sync(accept_within, new_jobs)
    return acceptances


def _accept_by_sqlalchemy(connection: Connection, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    try:
        if connection.dialect.name == "sqlite":
            return accept(connection, new_jobs, unsent_after=timedelta(0))
        rows = [connection.execute(_SQLALCHEMY_CALL, values_of(new)).one() for new in new_jobs]
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if state in _NOTHING_THERE or "no such table" in str(error.orig):
            raise LedgerUnavailableError(NO_LEDGER) from error
        raise
    return [acceptance_of(*row) for row in rows]
