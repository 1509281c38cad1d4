"""Accepts jobs in a transaction of psycopg, for `jobyard/jobs/ledger/in_transaction.py`."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedFunction
from psycopg.rows import tuple_row

from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger.accept_function import NO_LEDGER, CallTexts, acceptance_of, arguments_of

_CALLS: Final = CallTexts.with_marker("%({})s")


def accept_by_psycopg(connection: psycopg.Connection[Any], new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    """Insert jobs in an open transaction or in one that begins here; raises `LedgerUnavailableError`."""
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            return [
                acceptance_of(*_existing_row(cursor.execute(_call_for(new), arguments_of(new)).fetchone()))
                for new in new_jobs
            ]
    except (UndefinedFunction, InvalidSchemaName) as error:
        raise LedgerUnavailableError(NO_LEDGER) from error


async def accept_by_async_psycopg(
    connection: psycopg.AsyncConnection[Any], new_jobs: Sequence[NewJob]
) -> list[Acceptance]:
    """Do the same as `accept_by_psycopg`, from a coroutine."""
    acceptances = []
    try:
        async with connection.cursor(row_factory=tuple_row) as cursor:
            for new in new_jobs:
                await cursor.execute(_call_for(new), arguments_of(new))
                acceptances.append(acceptance_of(*_existing_row(await cursor.fetchone())))
    except (UndefinedFunction, InvalidSchemaName) as error:
        raise LedgerUnavailableError(NO_LEDGER) from error
    return acceptances


def _call_for(new: NewJob) -> bytes:
    return (_CALLS.with_call_fields if new.has_call_fields else _CALLS.plain).encode()


def _existing_row(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    assert row is not None, "a function returns a row"
    return row
