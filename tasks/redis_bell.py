"""Sends one message to Redis from the thread that hands its job in, and waits for no answer."""

import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import structlog
from kombu import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config.settings import Settings
from jobs.job import QueuedJob
from tasks.app import app
from tasks.redis_post import RedisLine

log = structlog.get_logger()


class RedisBell:
    """A connection on which one answer is outstanding at most.

    It is read when it is rung again, or by `listen`. Where it is no good answer, the job is `not_taken`.
    """

    def __init__(self, settings: Settings, not_taken: Callable[[QueuedJob], object]) -> None:
        self._broker_url, self._not_taken = settings.broker_url, not_taken
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._wire: Any = None
        self._unanswered: QueuedJob | None = None
        self._is_wanted = False

    def ring(self, job: QueuedJob) -> bool:
        """Send a message about a job, and tell whether it is on its way; for any thread, and never raises."""
        with self._lock:
            # Not to be used again where this thread is interrupted in the middle of a message.
            wire, self._wire = self._wire, None
            if wire is None:
                self._is_wanted = True
                return False
            try:
                is_free = self._is_free(wire)
                if is_free:
                    line = self._line(job.task, job.queue, job.priority)
                    message = wire.pack_command("LPUSH", f"{self._prefix}{line.key}", line.message([job]))
                    wire.send_packed_command(message, check_health=False)
            except (RedisError, OSError) as error:
                self._hang_up(error)
                return False
            self._wire = wire
            if is_free:
                self._unanswered = job
            return is_free

    def listen(self) -> None:
        """Read the answer that is outstanding; there has been time enough for it."""
        with self._lock:
            wire, self._wire = self._wire, None
            try:
                if wire is None or not self._is_free(wire):
                    raise RedisConnectionError("no answer")
            except (RedisError, OSError) as error:
                self._hang_up(error)
            else:
                self._wire = wire

    def open(self) -> None:
        """Connect, where somebody wanted to ring and could not; waits as long as the broker may take."""
        if not self._is_wanted:
            return
        connection = app.connection_for_write()
        try:
            channel: Any = connection.default_channel
            wire = channel.client.connection_pool.get_connection()
        except Exception as error:  # whatever a transport raises; the publisher says that the broker is away
            log.debug("no bell, the publisher sends what is handed in", reason=repr(error))
            connection.collect()
            return
        with self._lock:
            self._line = cache(partial(RedisLine.of, channel, self._broker_url))
            self._prefix: str = channel.global_keyprefix
            self._connection, self._wire, self._is_wanted = connection, wire, False

    def _is_free(self, wire: Any) -> bool:
        if not wire.can_read(0):
            return self._unanswered is None
        if self._unanswered is None:
            raise RedisConnectionError("it says what nobody asked")
        wire.read_response()
        self._unanswered = None
        return True

    def _hang_up(self, error: Exception) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            log.debug("bell given up, the publisher sends what is handed in", reason=repr(error))
            connection.collect()
        job, self._unanswered = self._unanswered, None
        if job is not None:
            self._not_taken(job)
