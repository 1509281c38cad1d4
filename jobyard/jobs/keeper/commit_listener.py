"""Wakes a keeper when a transaction with jobs in it commits. On SQLite it is a pause and no more."""

import threading
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from sqlalchemy.exc import SQLAlchemyError

from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase

if TYPE_CHECKING:  # at run time only who listens on PostgreSQL has it
    import psycopg

log = structlog.get_logger()

CHANNEL: Final = "jobyard"
# A keeper that listens notices so soon that it is to stop.
LOOK_UP_SECONDS: Final = 0.5


class CommitListener:
    """Hears the notifications of `jobyard.accept`, on a connection of its own; for one thread."""

    def __init__(self, database: LedgerDatabase, stopping: threading.Event) -> None:
        self._database, self._stopping = database, stopping
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float) -> None:
        """Wait until a commit notifies or the keeper is to stop, `seconds` at most."""
        until = monotonic() + seconds
        while not self._stopping.is_set() and (left := until - monotonic()) > 0:
            if self._database.dialect != "postgresql":
                self._stopping.wait(left)
            elif self._has_heard(min(left, LOOK_UP_SECONDS)):
                return

    def _has_heard(self, seconds: float) -> bool:
        try:
            if self._connection is None:
                self._connection = cast("psycopg.Connection[Any]", self._database.connection_apart())
                self._connection.autocommit = True
                self._connection.execute(f"LISTEN {CHANNEL}".encode())
                return True  # a commit before it listened was not heard
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
