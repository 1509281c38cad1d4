"""The psycopg connection under `django.db.connection`, whose transaction jobs can be part of."""

import sys
from typing import Any, Final

_KINDS: Final = {
    "django.utils.connection": "ConnectionProxy",
    "django.db.backends.base.base": "BaseDatabaseWrapper",
}
_POSTGRESQL: Final = "postgresql"
_WAY_OUT: Final = (
    "task.delay_on_commit(...) hands the job in once Django's transaction has been committed, on any database"
)


def is_of_django(connection: object) -> bool:
    """Tell whether this is a connection of Django's: `django.db.connection`, or one of `connections`."""
    # A caller with one has imported these modules; others need not wait for their import.
    return any(
        module in sys.modules and isinstance(connection, getattr(sys.modules[module], kind))
        for module, kind in _KINDS.items()
    )


def psycopg_connection(django: Any) -> Any:
    """Return the open connection of psycopg 3 that Django uses; raises `TypeError` where it has another."""
    if django.vendor != _POSTGRESQL:
        raise TypeError(
            f"connection is Django's to {django.vendor}, and a job can be part of its transaction only on "
            f"PostgreSQL, in the database of the ledger: {_WAY_OUT}"
        )
    django.ensure_connection()
    raw = django.connection
    psycopg = sys.modules.get("psycopg")
    if psycopg is None or not isinstance(raw, psycopg.Connection):
        raise TypeError(
            f"connection is Django's by {type(raw).__module__.partition('.')[0]}, and psycopg 3 is needed "
            f"(pip install psycopg): {_WAY_OUT}"
        )
    return raw
