"""A connection to the broker that is kept between two uses, and opened anew where it was lost meanwhile."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import structlog
from amqp.exceptions import AMQPError

log = structlog.get_logger()


class Closable(Protocol):
    """What is opened and closed."""

    def close(self) -> None:
        """Close it, whatever state it is in."""


Connection = TypeVar("Connection", bound=Closable)
T = TypeVar("T")


class KeptConnection(Generic[Connection]):
    """One connection, which `open` opens at first use; for one thread at a time."""

    def __init__(self, open: Callable[[], Connection]) -> None:
        self._open = open
        self._kept: Connection | None = None

    def use(self, action: Callable[[Connection], T]) -> T:
        """Return what `action` makes of the connection; raises what it raises, and closes it then.

        RabbitMQ may have closed a connection since, which nothing notices that says nothing: so where the
        kept one fails, the action is repeated over a new one. Silence is no sign of that, and is raised.
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
