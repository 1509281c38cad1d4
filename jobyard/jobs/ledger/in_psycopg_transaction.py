"""Jobs in a transaction of psycopg's; `jobyard/jobs/ledger/in_transaction.py` says what that means, and comes
here."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedFunction
from psycopg.rows import tuple_row

from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger.accept_function import NO_LEDGER, acceptance_of, call, values_of

_CALL: Final = call("%({})s").encode()


def accept_by_psycopg(connection: psycopg.Connection[Any], new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    """Insert jobs in a transaction that is open, or begins with it; raises `LedgerUnavailableError`."""
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            return [
                acceptance_of(*_one(cursor.execute(_CALL, values_of(new)).fetchone())) for new in new_jobs
            ]
    except (UndefinedFunction, InvalidSchemaName) as error:
        raise LedgerUnavailableError(NO_LEDGER) from error


async def accept_by_async_psycopg(
    connection: psycopg.AsyncConnection[Any], new_jobs: Sequence[NewJob]
) -> list[Acceptance]:
    """As `accept_by_psycopg`, from a coroutine."""
    acceptances = []
    try:
        async with connection.cursor(row_factory=tuple_row) as cursor:
            for new in new_jobs:
                await cursor.execute(_CALL, values_of(new))
                acceptances.append(acceptance_of(*_one(await cursor.fetchone())))
    except (UndefinedFunction, InvalidSchemaName) as error:
        raise LedgerUnavailableError(NO_LEDGER) from error
    return acceptances


def _one(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    assert row is not None, "a function returns a row"
    return row
