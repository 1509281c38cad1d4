"""How many messages wait in the broker, asked over one connection that is kept.

To open one each time cost a worker 20 to 90 ms of its interpreter every ten seconds, for which whatever it
was about to begin had to wait.
"""

import threading
from collections.abc import Iterable
from typing import Any

import structlog
from amqp.exceptions import NotFound
from kombu.exceptions import ChannelError

from jobyard.broker.celery_app import app
from jobyard.broker.kept_connection import KeptConnection
from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queues

log = structlog.get_logger()


class BrokerDepths:
    """Asks for any thread, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._patience = settings.broker.timeout.total_seconds()
        self._lock = threading.Lock()
        self._connection = KeptConnection(_Connection)

    def of(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many messages of each queue wait in the broker; of none where it does not say."""
        # If the lock is not free by then, the broker is not answering anyone.
        if not self._lock.acquire(timeout=self._patience):
            return {}
        try:
            names = list(queues)
            return self._connection.use(lambda connection: self._ask(connection, names))
        except Exception as error:
            log.debug("depths unknown", reason=repr(error))
            return {}
        finally:
            self._lock.release()

    def _ask(self, connection: "_Connection", queues: list[str]) -> dict[str, int]:
        return {
            queue: sum(connection.depth(name) for name in broker_queues(queue, self._settings))
            for queue in queues
        }


class _Connection:
    """A connection with one channel, which is opened anew where RabbitMQ has closed it over a question."""

    def __init__(self) -> None:
        # Heartbeats would not be answered between two questions, and RabbitMQ would close the connection.
        self._connection: Any = app.connection_for_write(heartbeat=0)
        try:
            # Connects, or finds out at once that it cannot.
            self._channel: Any = self._connection.default_channel
        except BaseException:
            self.close()
            raise

    def depth(self, broker_queue: str) -> int:
        try:
            return int(self._channel.queue_declare(broker_queue, passive=True).message_count)
        except ChannelError:
            return 0  # on Redis an empty list does not exist
        except NotFound:
            self._channel = self._connection.channel()
            return 0  # nor a queue on RabbitMQ that nobody has used yet

    def close(self) -> None:
        self._connection.collect()
