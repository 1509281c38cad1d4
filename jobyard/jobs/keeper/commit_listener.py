"""Wakes a keeper when a transaction with new jobs commits; on SQLite it only waits."""

import threading
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from sqlalchemy.exc import SQLAlchemyError

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase

if TYPE_CHECKING:  # installed only for PostgreSQL
    import psycopg

log = structlog.get_logger()

CHANNEL: Final = "jobyard"
# How often a listening keeper checks whether it is to stop.
STOP_CHECK_SECONDS: Final = 0.5


class CommitListener:
    """Receives the notifications of `jobyard.accept`, on a connection of its own; for one thread."""

    def __init__(self, database: LedgerDatabase, stopping: threading.Event) -> None:
        self._database, self._stopping = database, stopping
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float) -> None:
        """Wait for a notification or for the keeper to be stopped, at most `seconds`."""
        deadline = monotonic() + seconds
        while not self._stopping.is_set() and (left := deadline - monotonic()) > 0:
            if self._database.dialect != "postgresql":
                self._stopping.wait(left)
            elif self._wait_for_notification(min(left, STOP_CHECK_SECONDS)):
                return

    def _wait_for_notification(self, seconds: float) -> bool:
        try:
            if self._connection is None:
                self._connection = cast("psycopg.Connection[Any]", self._database.open_dedicated_connection())
                self._connection.autocommit = True
                self._connection.execute(f"LISTEN {CHANNEL}".encode())
                return True  # there may have been a commit before this connection listened
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except (self._database.driver_error, SQLAlchemyError) as error:
            log.debug("no notifications, the keeper looks by itself", reason=str(error))
            self.close()
            self._stopping.wait(seconds)
            return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
