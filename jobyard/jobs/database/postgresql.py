"""The ledger on PostgreSQL: its engines, and the options of their connections."""

import select
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from jobyard.jobs.database.driver_errors import SCHEMA
from jobyard.jobs.database.engines import Durability, Engines
from jobyard.settings.sections import LedgerSettings

# How much longer than the server a client waits for a statement: the server's own answer says whether it did
# something, and comes first.
SERVER_GOES_FIRST_SECONDS: Final = 1.0


def postgresql_engines(url: URL, settings: LedgerSettings) -> Engines:
    """Return the engines of a database; only statements for one job keep their plan."""
    engine = _engine(url, settings, plan_cache_mode="force_custom_plan")
    # With sequential scans off, the kept plan of a condition on one id is an index scan, even if the table
    # was small when the statement was planned.
    kept_plan = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
    statements = _engine(url, settings, **kept_plan)
    event.listen(statements, "connect", _enable_autocommit)
    return Engines(engine, engine, dict.fromkeys(Durability, statements))


def _engine(url: URL, settings: LedgerSettings, **options: str) -> Engine:
    timeout_seconds = settings.timeout.total_seconds()
    engine = create_engine(
        url,
        pool_size=settings.pool_size,
        pool_timeout=timeout_seconds,
        connect_args=_connect_arguments(timeout_seconds, options),
    )
    event.listen(engine, "do_connect", partial(_connect, longest_wait=timeout_seconds))
    event.listen(engine, "checkout", _refuse_ended_connection)
    return engine


def _connect(
    _dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any], *, longest_wait: float
) -> Any:
    # Imported here, because only a ledger on PostgreSQL needs psycopg.
    from jobyard.jobs.database.impatient_connection import ImpatientConnection

    connection = ImpatientConnection.connect(*arguments, **options)
    connection.longest_wait_seconds = longest_wait + SERVER_GOES_FIRST_SECONDS
    return connection


def _connect_arguments(timeout_seconds: float, more_options: Mapping[str, str]) -> dict[str, Any]:
    # The TCP settings notice a server that has vanished (keepalives, unacknowledged data); the server itself
    # ends a statement that takes too long.
    timeout_millis = round(timeout_seconds * 1000)
    options = {"search_path": SCHEMA, "statement_timeout": timeout_millis, **more_options}
    return {
        "connect_timeout": max(2, round(timeout_seconds)),
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": timeout_millis,
    }


def _refuse_ended_connection(connection: Any, _record: Any, _proxy: Any) -> None:
    # A server sends to an idle connection only that it ends, so there is something to read only then, and the
    # pool opens another connection. Asking the server each time (`pool_pre_ping`) is a round trip.
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if idle.poll(0):
        raise DisconnectionError


def _enable_autocommit(connection: Any, _record: Any) -> None:
    connection.autocommit = True
