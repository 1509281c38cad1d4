"""Calls when Django's transaction is committed."""

from collections.abc import Callable

from jobyard.jobs.errors import CallRefusedError


def on_commit(call: Callable[[], object]) -> None:
    """Call after the commit of Django's default database; outside a transaction at once.

    Raises `CallRefusedError` where there is no Django.
    """
    try:
        from django.db import transaction
    except ImportError as error:
        raise CallRefusedError(
            "delay_on_commit waits for Django's transaction, and Django is not installed: with a connection "
            "of SQLAlchemy or psycopg, task.options(connection=...).delay(...) makes the job part of its "
            "transaction"
        ) from error
    transaction.on_commit(call)
