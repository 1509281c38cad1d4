"""Sends one message to Redis while its job is being committed, from the thread that commits, and never waits.

A worker is on its way meanwhile, which takes as long as the commit; it claims committed rows and no others,
so a message that is too early, too many or in vain does nothing (docs/decisions/0021). The life of a message:

    SENT        written to the connection; Redis has not answered, and the row is not committed
    TAKEN       Redis has it; the row is not committed
    COMMITTED   the row is committed; Redis has not answered
    PUBLISHED   both: the job is to be noted as published
    LOST        no answer, or a bad one; once the row is committed, the publisher sends the job

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

TRY_AGAIN_AFTER_SECONDS: Final = 10.0

Kind = tuple[str, str, int]  # a task, a queue and a priority


class State(Enum):
    """How far a message has come; the module says what each means."""

    SENT = auto()
    TAKEN = auto()
    COMMITTED = auto()
    PUBLISHED = auto()
    LOST = auto()


@dataclass(eq=False)
class EarlyMessage:
    """A message that was sent, and how far it has come; `sent_at` is monotonic, from before it was sent."""

    job: QueuedJob
    sent_at: float
    state: State = State.SENT


class EarlySender:
    """Sends over one connection, which the publisher's thread opens, with the templates that were asked for.

    A committed job whose message is lost is `not_taken`.
    """

    def __init__(self, settings: Settings, not_taken: Callable[[QueuedJob], object]) -> None:
        self._settings, self._not_taken = settings, not_taken
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._wanted: set[Kind] = set()
        self._unanswered: EarlyMessage | None = None
        self._to_note: list[EarlyMessage] = []
        self._try_at = 0.0

    def send(self, job: QueuedJob) -> EarlyMessage | None:
        """Send a message about a job before its commit, or return None where that cannot be done now."""
        with self._lock:
            message = self._send(job)
        if message is not None:
            # Redis may have been woken on this very processor, and would wait until this thread waits for
            # the disk: 0.4 ms of a job's way to its beginning (docs/decisions/0023).
            os.sched_yield()
        return message

    def _send(self, job: QueuedJob) -> EarlyMessage | None:
        message, connection = EarlyMessage(job, monotonic()), self._connection
        if connection is None or _kind(job) not in connection.templates:
            self._wanted.add(_kind(job))
            return None
        # Detach the connection while it is in use: if this thread is interrupted halfway, the connection is
        # lost with it and never reused.
        self._connection = None
        try:
            is_free = self._has_answer(connection)
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
        """Take note that the row of a message is committed."""
        with self._lock:
            if message.state is State.LOST:
                is_lost = True
            else:
                is_lost = False
                message.state = State.PUBLISHED if message.state is State.TAKEN else State.COMMITTED
                self._to_note.append(message)
        if is_lost:
            self._not_taken(message.job)

    @property
    def has_confirmed(self) -> bool:
        """Tell whether there is something that `published` may return."""
        return bool(self._to_note)

    def published(self) -> list[str]:
        """Read what Redis has said; return the ids of jobs newly both committed and taken."""
        with self._lock:
            lost = self._read_answer()
            messages, self._to_note = self._to_note, []
            self._to_note = [message for message in messages if message.state is State.COMMITTED]
        for message in lost:
            self._not_taken(message.job)
        return [message.job.id for message in messages if message.state is State.PUBLISHED]

    def prepare(self) -> None:
        """Open the connection and make the templates that were asked for in vain; waits for the broker."""
        with self._lock:
            known, kinds = self._connection, set(self._wanted)
        if not kinds or monotonic() < self._try_at:
            return
        try:
            connection = known or _Connection(self._settings.broker_url)
            for kind in kinds:
                connection.add_template(kind)
        except Exception as error:  # whatever a transport raises; the publisher says that the broker is away
            log.debug("no early messages, the publisher sends them", reason=repr(error))
            self._try_at = monotonic() + TRY_AGAIN_AFTER_SECONDS
            return
        with self._lock:
            self._wanted -= kinds
            lost = []
            if known is None:
                lost = self._lose_unanswered()  # the thread that sent it may have been interrupted
                self._connection = connection
        for message in lost:
            self._not_taken(message.job)

    def _read_answer(self) -> list[EarlyMessage]:
        """Read the outstanding answer, if there is one; return the committed message that is lost."""
        if self._connection is None:
            return self._lose_unanswered()
        try:
            if not (self._has_answer(self._connection) or self._may_still_come()):
                raise RedisConnectionError("no answer")
        except Exception as error:
            connection, self._connection = self._connection, None
            return self._close(connection, error)
        return []

    def _has_answer(self, connection: "_Connection") -> bool:
        """Tell whether all that was sent is answered; raises what Redis says, or that it hung up."""
        message = self._unanswered
        if message is not None:
            if not connection.has_something_to_read():
                return False
            connection.read()
            is_committed = message.state is State.COMMITTED
            message.state, self._unanswered = State.PUBLISHED if is_committed else State.TAKEN, None
        if connection.has_something_to_read():
            raise RedisConnectionError("it closed the connection, or says what was not asked")
        return True

    def _may_still_come(self) -> bool:
        patience = self._settings.broker.timeout.total_seconds()
        return self._unanswered is not None and monotonic() < self._unanswered.sent_at + patience

    def _disconnect(self, connection: "_Connection", error: Exception) -> None:
        for message in self._close(connection, error):
            self._not_taken(message.job)

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
    """A connection as kombu opens it: by the transport's options, Sentinels and prefix of keys."""

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
        """Ask Celery what it says about jobs of a kind, which takes milliseconds."""
        self.templates[kind] = RedisTemplate.of(self._channel, self._broker_url, *kind)

    def send(self, job: QueuedJob) -> None:
        template = self.templates[_kind(job)]
        key = f"{self._channel.global_keyprefix}{template.key}"
        message = self._redis.pack_command("LPUSH", key, template.message([job]))
        self._redis.send_packed_command(message, check_health=False)  # which would wait for an answer

    def has_something_to_read(self) -> bool:
        return bool(self._redis.can_read(0))

    def read(self) -> None:
        # All of it is there, or it is no answer.
        self._redis.read_response(timeout=0)

    def close(self) -> None:
        self._connection.collect()
