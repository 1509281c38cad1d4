"""Ends the connections of a server that are silent or too slow, and bounds their number."""

import asyncio
from operator import attrgetter
from typing import Final, Protocol

import structlog

log = structlog.get_logger()

SWEEPER: Final = "connection_sweeper"  # the key under which the application's lifespan passes the sweeper
SWEEP_SECONDS: Final = 1.0
# This part of all connections is ended at once where one more would be too many, so that a storm of new
# ones does not look through all others each time.
ENDED_AT_ONCE: Final = 1 / 64
# Of the bodies of all requests that are not answered yet.
MOST_KEPT_BYTES: Final = 256 * 1024 * 1024


class SweptConnection(Protocol):
    """A connection as the sweeper sees it."""

    heard_at: float  # the loop's time of the last bytes
    kept_bytes: int  # of a body, until it is answered

    def check(self, now: float) -> None:
        """End the connection if it is overdue."""

    def awaits_client(self) -> bool:
        """Tell whether the server has nothing to do for it."""

    def end(self) -> None:
        """End it without an answer."""

    def give_up_body(self) -> bool:
        """Refuse the request whose body is being received; return whether there is one."""


class ConnectionSweeper:
    """Looks at every connection once a second: no request pays for a timer of its own."""

    def __init__(self, most: int) -> None:
        """Allow `most` connections at the same time."""
        self._most = most
        self._connections: set[SweptConnection] = set()
        self._ended = self._refused = self._kept_bytes = 0

    def add(self, connection: SweptConnection) -> bool:
        """Take a new connection; where they are too many, end those that were silent for longest.

        Returns False where no connection is silent, so that the new one has to be refused.
        """
        if len(self._connections) >= self._most and not self._end_silent():
            self._refused += 1
            return False
        self._connections.add(connection)
        return True

    def discard(self, connection: SweptConnection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)

    async def run(self) -> None:
        """Sweep until this is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for connection in list(self._connections):
                connection.check(loop.time())
            self._report()

    def keep(self, size: int) -> None:
        """Count bytes of bodies that are kept; where they are too many, refuse the largest unfinished one."""
        self._kept_bytes += size
        if size > 0 and self._kept_bytes > MOST_KEPT_BYTES:
            largest_first = sorted(self._connections, key=attrgetter("kept_bytes"), reverse=True)
            self._refused += any(connection.give_up_body() for connection in largest_first)

    def _end_silent(self) -> bool:
        silent = [connection for connection in self._connections if connection.awaits_client()]
        silent.sort(key=attrgetter("heard_at"))
        ended = silent[: max(1, int(self._most * ENDED_AT_ONCE))]
        for connection in ended:
            self.discard(connection)
            connection.end()
        self._ended += len(ended)
        return bool(ended)

    def _report(self) -> None:
        if self._ended or self._refused:
            log.warning(
                "too many connections, or too large bodies: those that were silent for longest were ended",
                most=self._most,
                ended=self._ended,
                refused=self._refused,
            )
        self._ended = self._refused = 0
