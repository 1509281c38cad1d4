"""Reads how many messages wait in the broker, over one connection that is kept.

Opening a connection each time took 20 to 90 ms of a worker's interpreter every ten seconds, and jobs that
were about to begin waited for that.
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
    """Reads queue depths; threads may share it, and take turns."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_seconds = settings.broker.timeout.total_seconds()
        self._lock = threading.Lock()
        self._connection = KeptConnection(_Connection)

    def read(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many messages of each queue wait in the broker; empty where it does not answer."""
        # If the lock is not free by then, the broker is not answering anyone.
        if not self._lock.acquire(timeout=self._timeout_seconds):
            return {}
        try:
            names = list(queues)
            return self._connection.use(lambda connection: self._read_from(connection, names))
        except Exception as error:
            log.debug("depths unknown", reason=repr(error))
            return {}
        finally:
            self._lock.release()

    def _read_from(self, connection: "_Connection", queues: list[str]) -> dict[str, int]:
        return {
            queue: sum(connection.depth(name) for name in broker_queues(queue, self._settings))
            for queue in queues
        }


class _Connection:
    """A connection with one channel, which is reopened when RabbitMQ closes it after a passive declare."""

    def __init__(self) -> None:
        # Heartbeats would not be answered between two reads, and RabbitMQ would close the connection.
        self._connection: Any = app.connection_for_write(heartbeat=0)
        try:
            # This connects, or fails at once.
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
            return 0  # on RabbitMQ a queue does not exist before its first use

    def close(self) -> None:
        self._connection.collect()
