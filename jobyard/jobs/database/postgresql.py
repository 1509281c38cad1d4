"""The ledger on PostgreSQL: its engines, and the options of their connections."""

import select
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from jobyard.jobs.database.driver_errors import SCHEMA
from jobyard.jobs.database.engines import Durability, Engines
from jobyard.settings.sections import LedgerSettings


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
    event.listen(engine, "checkout", _refuse_ended_connection)
    return engine


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
