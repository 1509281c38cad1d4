"""Sends one message to Redis from the thread that hands its job in, and waits for no answer."""

import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from config.settings import Settings
from jobs.errors import Interruption
from jobs.job import QueuedJob
from tasks.app import app
from tasks.redis_post import RedisLine

log = structlog.get_logger()


class RedisBell:
    """Rings over one wire, which the publisher's thread opens when somebody wanted to ring and could not.

    An answer is read when it is rung again, or by `listen`. Where it is no good one, its job is `not_taken`.
    """

    def __init__(self, settings: Settings, not_taken: Callable[[QueuedJob], object]) -> None:
        self._settings, self._not_taken = settings, not_taken
        self._lock = threading.Lock()
        self._wire: _Wire | None = None
        self._is_wanted = False
        self._unanswered: QueuedJob | None = None

    def ring(self, job: QueuedJob) -> bool:
        """Send a message about a job, and tell whether it is on its way; never waits, from any thread."""
        with self._lock:
            if (wire := self._take_wire()) is None:
                self._is_wanted = True
                return False
            try:
                is_free = self._has_answer(wire)
                if is_free:
                    wire.send(job)
                    self._unanswered = job
            except Interruption:
                raise
            except Exception as error:
                self._give_up(wire, error)
                return False
            self._wire = wire
            return is_free

    def listen(self) -> None:
        """Read the answer that is outstanding, if one is; there has been time enough for it."""
        with self._lock:
            wire = self._take_wire()
            try:
                if wire is None or not self._has_answer(wire):
                    raise RedisConnectionError("no answer")
            except Exception as error:
                self._give_up(wire, error)
            else:
                self._wire = wire

    def open(self) -> None:
        """Connect where that is wanted; waits for the broker."""
        if not self._is_wanted:
            return
        try:
            wire = _Wire(self._settings.broker_url)
        except Exception as error:  # whatever a transport raises; the publisher says that the broker is away
            log.debug("no bell, the publisher sends what is handed in", reason=repr(error))
            return
        with self._lock:
            self._wire, self._is_wanted = wire, False

    def _take_wire(self) -> "_Wire | None":
        # Whoever is interrupted in the middle of a message has it, and nobody else speaks over it again.
        wire, self._wire = self._wire, None
        return wire

    def _has_answer(self, wire: "_Wire") -> bool:
        """Tell whether all that was sent is answered; raises what Redis says, or that it hung up."""
        if not wire.has_something_to_read():
            return self._unanswered is None
        if self._unanswered is None:
            raise RedisConnectionError("it says what nobody asked")
        wire.read()
        self._unanswered = None
        return True

    def _give_up(self, wire: "_Wire | None", error: Exception) -> None:
        if wire is not None:
            log.debug("bell given up, the publisher sends what is handed in", reason=repr(error))
            wire.close()
        job, self._unanswered = self._unanswered, None
        if job is not None:
            self._not_taken(job)


class _Wire:
    """A connection as kombu opens it: by the transport's options, Sentinels and prefix of keys."""

    def __init__(self, broker_url: str) -> None:
        self._connection = app.connection_for_write()
        try:
            channel: Any = self._connection.default_channel
            self._line = cache(partial(RedisLine.of, channel, broker_url))
            self._prefix: str = channel.global_keyprefix
            self._redis = channel.client.connection_pool.get_connection()
        except BaseException:
            self.close()
            raise

    def send(self, job: QueuedJob) -> None:
        line = self._line(job.task, job.queue, job.priority)
        message = self._redis.pack_command("LPUSH", f"{self._prefix}{line.key}", line.message([job]))
        self._redis.send_packed_command(message, check_health=False)  # which would wait for an answer

    def has_something_to_read(self) -> bool:
        return bool(self._redis.can_read(0))

    def read(self) -> None:
        self._redis.read_response()

    def close(self) -> None:
        self._connection.collect()
