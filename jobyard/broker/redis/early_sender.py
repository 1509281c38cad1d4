"""Sends one message to Redis while its job is being committed, in the committing thread, and never waits.

The message reaches a worker in about the time of the commit. Workers claim committed rows only, so a message
that is too early, superfluous or without a row does nothing (docs/decisions/0021). The states of a message:

    SENT        written to the connection; Redis has not answered, and the row is not committed
    TAKEN       Redis has the message; the row is not committed
    COMMITTED   the row is committed; Redis has not answered
    PUBLISHED   Redis has the message and the row is committed: the job is to be marked as published
    LOST        no answer, or an error; once the row is committed, the publisher sends the job

At most one answer is outstanding. It is read before the next message, or by the publisher's thread.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from jobyard.broker.celery_app import app
from jobyard.broker.redis.sender import RedisTemplate
from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import Interruption
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings

log = structlog.get_logger()

# The pause after a connection could not be opened.
TRY_AGAIN_AFTER_SECONDS: Final = 10.0

Kind = tuple[str, str, int]  # a task, a queue and a priority


class State(Enum):
    """The state of an early message; the module's docstring describes each."""

    SENT = auto()
    TAKEN = auto()
    COMMITTED = auto()
    PUBLISHED = auto()
    LOST = auto()


@dataclass(eq=False)
class EarlyMessage:
    """A message that was sent, with its state; `sent_at` is the monotonic time just before sending."""

    job: QueuedJob
    sent_at: float
    state: State = State.SENT


class EarlySender:
    """Sends over one connection; the publisher's thread opens it and makes the templates that were missing.

    `on_lost` is called with each committed job whose message is lost.
    """

    def __init__(self, settings: Settings, on_lost: Callable[[QueuedJob], object]) -> None:
        self._settings, self._on_lost = settings, on_lost
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._missing_kinds: set[Kind] = set()
        self._unanswered: EarlyMessage | None = None
        self._confirmed: list[EarlyMessage] = []
        self._try_at = 0.0

    def send(self, job: QueuedJob) -> EarlyMessage | None:
        """Send a message about a job before its commit, or return None where that is not possible now."""
        with self._lock:
            message = self._send(job)
        if message is not None:
            # The kernel may have scheduled Redis on this processor, where it would wait until this thread
            # waits for the disk: that delays the start of a job by 0.4 ms (docs/decisions/0023).
            os.sched_yield()
        return message

    def _send(self, job: QueuedJob) -> EarlyMessage | None:
        message, connection = EarlyMessage(job, monotonic()), self._connection
        if connection is None or _kind(job) not in connection.templates:
            self._missing_kinds.add(_kind(job))
            return None
        # Detach the connection while it is in use: if this thread is interrupted halfway, the connection is
        # lost with it and never reused.
        self._connection = None
        try:
            is_free = self._try_read(connection)
            if is_free:
                connection.send(job)
                self._unanswered = message
        except Interruption:
            raise
        except Exception as error:
            self._disconnect(connection, error)
            return None
        self._connection = connection
        return message if is_free else None

    def confirm(self, message: EarlyMessage) -> None:
        """Record that the row of a message is committed; calls `on_lost` if the message is lost."""
        with self._lock:
            if message.state is State.LOST:
                is_lost = True
            else:
                is_lost = False
                message.state = State.PUBLISHED if message.state is State.TAKEN else State.COMMITTED
                self._confirmed.append(message)
        if is_lost:
            self._on_lost(message.job)

    @property
    def has_confirmed(self) -> bool:
        """Tell whether `published` may have ids to return."""
        return bool(self._confirmed)

    def published(self) -> list[str]:
        """Read Redis's answer; return the ids of jobs whose messages are PUBLISHED since the last call."""
        with self._lock:
            lost = self._read_answer()
            messages = self._confirmed
            self._confirmed = [message for message in messages if message.state is State.COMMITTED]
        for message in lost:
            self._on_lost(message.job)
        return [message.job.id for message in messages if message.state is State.PUBLISHED]

    def prepare(self) -> None:
        """Open the connection and make the templates that `send` was missing; waits for the broker."""
        with self._lock:
            known, kinds = self._connection, set(self._missing_kinds)
        if not kinds or monotonic() < self._try_at:
            return
        try:
            connection = known or _Connection(self._settings.broker_url)
            for kind in kinds:
                connection.add_template(kind)
        except Exception as error:  # whatever the transport raises; the publisher logs a warning
            log.debug("no early messages, the publisher sends them", reason=repr(error))
            self._try_at = monotonic() + TRY_AGAIN_AFTER_SECONDS
            return
        with self._lock:
            self._missing_kinds -= kinds
            lost = []
            if known is None:
                lost = self._lose_unanswered()  # the thread that sent it may have been interrupted
                self._connection = connection
        for message in lost:
            self._on_lost(message.job)

    def _read_answer(self) -> list[EarlyMessage]:
        """Read the outstanding answer, if there is one; return the committed messages that are lost."""
        if self._connection is None:
            return self._lose_unanswered()
        try:
            if not (self._try_read(self._connection) or self._may_still_come()):
                raise RedisConnectionError("no answer")
        except Exception as error:
            connection, self._connection = self._connection, None
            return self._close(connection, error)
        return []

    def _try_read(self, connection: "_Connection") -> bool:
        """Read the answer if it is there; tell whether none is outstanding. Raises what Redis answers."""
        message = self._unanswered
        if message is not None:
            if not connection.has_data():
                return False
            connection.read()
            is_committed = message.state is State.COMMITTED
            message.state, self._unanswered = State.PUBLISHED if is_committed else State.TAKEN, None
        if connection.has_data():
            raise RedisConnectionError("it closed the connection, or sent an answer without a request")
        return True

    def _may_still_come(self) -> bool:
        timeout_seconds = self._settings.broker.timeout.total_seconds()
        return self._unanswered is not None and monotonic() < self._unanswered.sent_at + timeout_seconds

    def _disconnect(self, connection: "_Connection", error: Exception) -> None:
        for message in self._close(connection, error):
            self._on_lost(message.job)

    def _close(self, connection: "_Connection", error: Exception) -> list[EarlyMessage]:
        log.debug("early messages given up, the publisher sends them", reason=repr(error))
        connection.close()
        return self._lose_unanswered()

    def _lose_unanswered(self) -> list[EarlyMessage]:
        message, self._unanswered = self._unanswered, None
        if message is None:
            return []
        is_committed, message.state = message.state is State.COMMITTED, State.LOST
        return [message] if is_committed else []


def _kind(job: QueuedJob) -> Kind:
    return job.task, job.queue, job.priority


class _Connection:
    """A connection that kombu opens, with the transport's options, Sentinels and key prefix."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self.templates: dict[Kind, RedisTemplate] = {}
        self._connection = app.connection_for_write()
        try:
            channel: Any = self._connection.default_channel
            self._channel = channel
            self._redis = channel.client.connection_pool.get_connection()
        except BaseException:
            self.close()
            raise

    def add_template(self, kind: Kind) -> None:
        """Make the template for jobs of a kind, which takes milliseconds."""
        self.templates[kind] = RedisTemplate.for_kind(self._channel, self._broker_url, *kind)

    def send(self, job: QueuedJob) -> None:
        template = self.templates[_kind(job)]
        key = f"{self._channel.global_keyprefix}{template.key}"
        message = self._redis.pack_command("LPUSH", key, template.message([job]))
        # The health check would wait for an answer.
        self._redis.send_packed_command(message, check_health=False)

    def has_data(self) -> bool:
        return bool(self._redis.can_read(0))

    def read(self) -> None:
        # The whole answer has arrived; anything less raises.
        self._redis.read_response(timeout=0)

    def close(self) -> None:
        self._connection.collect()
