"""Wakes a keeper when a transaction with jobs in it commits. On SQLite it is a pause and no more."""

import threading
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.fork_gate import inside_gate

if TYPE_CHECKING:  # at run time only who listens on PostgreSQL has it
    import psycopg

log = structlog.get_logger()

CHANNEL: Final = "jobyard"
# A keeper that listens notices so soon that it is to stop.
LOOK_UP_SECONDS: Final = 0.5


class Bell:
    """Hears the notifications of `jobyard.accept`, on a connection of its own; for one thread."""

    def __init__(self, engine: Engine, stopping: threading.Event) -> None:
        self._engine, self._stopping = engine, stopping
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float) -> None:
        """Wait until it rings or the keeper is to stop, `seconds` at most."""
        until = monotonic() + seconds
        while not self._stopping.is_set() and (left := until - monotonic()) > 0:
            if self._engine.dialect.name != "postgresql":
                self._stopping.wait(left)
            elif self._has_rung(min(left, LOOK_UP_SECONDS)):
                return

    def _has_rung(self, seconds: float) -> bool:
        try:
            if self._connection is None:
                self._connection = self._connect()
                self._connection.execute(f"LISTEN {CHANNEL}".encode())
                return True  # what rang before it listened was not heard
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except (self._engine.dialect.loaded_dbapi.Error, SQLAlchemyError) as error:
            log.debug("no bell, the keeper looks by itself", reason=str(error))
            self.close()
            self._stopping.wait(seconds)
            return False

    def _connect(self) -> "psycopg.Connection[Any]":
        # One of the pool's making, but not of the pool: psycopg leaves it alone in a child that is forked.
        with inside_gate():
            pooled = self._engine.raw_connection()
            connection: psycopg.Connection[Any] = cast(Any, pooled.driver_connection)
            pooled.detach()
        connection.autocommit = True
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
