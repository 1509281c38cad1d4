"""A connection to the broker that is kept between two uses, and reopened if it was lost in between."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import structlog
from amqp.exceptions import AMQPError

log = structlog.get_logger()


class Closable(Protocol):
    """A connection that can be closed."""

    def close(self) -> None:
        """Close the connection, in whatever state it is."""


Connection = TypeVar("Connection", bound=Closable)
T = TypeVar("T")


class KeptConnection(Generic[Connection]):
    """Keeps one connection, which `open` opens at first use; for one thread at a time."""

    def __init__(self, open: Callable[[], Connection]) -> None:
        self._open = open
        self._kept: Connection | None = None

    def use(self, action: Callable[[Connection], T]) -> T:
        """Return the result of `action`; raises what `action` raises, after closing the connection.

        RabbitMQ may have closed an idle connection, and the client notices only when it uses it: so if the
        kept connection fails, `action` is repeated over a new one. A timeout has other causes, and is raised.
        """
        if self._kept is not None:
            try:
                return self._attempt(action)
            except TimeoutError:
                raise
            except (OSError, AMQPError) as error:
                log.debug("connection lost, opening another", reason=repr(error))
        return self._attempt(action)

    def _attempt(self, action: Callable[[Connection], T]) -> T:
        # Detach the connection while it is in use: if this thread is interrupted halfway, the connection is
        # lost with it and never reused.
        connection, self._kept = self._kept or self._open(), None
        try:
            result = action(connection)
        except BaseException:
            connection.close()
            raise
        self._kept = connection
        return result
