"""The ledger on PostgreSQL: its engines, and what their connections are told."""

import select
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from jobyard.jobs.database.engines import Engines, Outlives
from jobyard.jobs.database.faults import SCHEMA
from jobyard.settings.sections import LedgerSettings


def postgresql_engines(url: URL, settings: LedgerSettings) -> Engines:
    """Return the engines of a database; statements for one job keep their plan, and nothing else does."""
    engine = _engine(url, settings, plan_cache_mode="force_custom_plan")
    # With a condition for one id, the plan that is kept is to look that up, however small the table was.
    kept = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
    statements = _engine(url, settings, **kept)
    event.listen(statements, "connect", _commit_at_once)
    return Engines(engine, engine, dict.fromkeys(Outlives, statements))


def _engine(url: URL, settings: LedgerSettings, **options: str) -> Engine:
    patience = settings.timeout.total_seconds()
    engine = create_engine(
        url,
        pool_size=settings.pool_size,
        pool_timeout=patience,
        connect_args=_connect_arguments(patience, options),
    )
    event.listen(engine, "checkout", _refuse_what_has_ended)
    return engine


def _connect_arguments(patience_seconds: float, more: Mapping[str, str]) -> dict[str, Any]:
    # A server that is gone without a word: noticed by the network (keepalives, unanswered data), a
    # statement that takes too long by the server itself.
    patience_millis = round(patience_seconds * 1000)
    options = {"search_path": SCHEMA, "statement_timeout": patience_millis, **more}
    return {
        "connect_timeout": max(2, round(patience_seconds)),
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": patience_millis,
    }


def _refuse_what_has_ended(connection: Any, _record: Any, _proxy: Any) -> None:
    # A server has nothing to say to an idle connection but that it ends; then the pool opens another. To ask
    # it each time (`pool_pre_ping`) is a round trip.
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if idle.poll(0):
        raise DisconnectionError


def _commit_at_once(connection: Any, _record: Any) -> None:
    connection.autocommit = True
