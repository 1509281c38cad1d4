"""A connection of psycopg that gives a silent server up.

The kernel of a server that is frozen still acknowledges what it receives, so neither the server's own
`statement_timeout` nor an option of TCP ends the wait for its answer.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

T = TypeVar("T")


class ImpatientConnection(psycopg.Connection[Any]):
    """Waits for each answer of the server for `longest_wait_seconds` at the most, and then is closed."""

    longest_wait_seconds: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Overridden so that no answer is waited for without a bound."""
        if timeout is not None:  # for notifications, which need not come
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.longest_wait_seconds)
        except _WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server has not answered for {self.longest_wait_seconds:g} s"
            ) from error
