"""Sends one message to Redis from the thread that hands its job in, and waits for no answer."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from jobyard.broker.celery_app import app
from jobyard.broker.redis.sender import RedisLine
from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import Interruption
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings

log = structlog.get_logger()

TRIES_AGAIN_AFTER_SECONDS: Final = 10.0

Kind = tuple[str, str, int]  # a task, a queue and a priority


@dataclass(eq=False)
class Rung:
    """A message that was sent, and what is known of it."""

    job: QueuedJob
    sent_at: float  # monotonic, from before it was sent
    is_taken: bool | None = None  # None until Redis has answered
    is_committed: bool = False


class RedisBell:
    """Rings over one wire, which the publisher's thread opens and teaches what somebody wanted to ring for.

    One answer is outstanding at most. It is read when it is rung again, or by `listen`. Where it is no good
    one, and the job is committed, the job is `not_taken`.
    """

    def __init__(self, settings: Settings, not_taken: Callable[[QueuedJob], object]) -> None:
        self._settings, self._not_taken = settings, not_taken
        self._lock = threading.Lock()
        self._wire: _Wire | None = None
        self._wanted: set[Kind] = set()
        self._unanswered: Rung | None = None
        self._try_at = 0.0

    def ring(self, job: QueuedJob) -> Rung | None:
        """Send a message about a job, or return None where that is not possible now; never waits."""
        with self._lock:
            rung = self._ring(job)
        if rung is not None:
            # Redis may have been woken on this very processor, and would wait until this thread waits for
            # the disk: 0.4 ms of a job's way to its beginning (docs/decisions/0023).
            os.sched_yield()
        return rung

    def _ring(self, job: QueuedJob) -> Rung | None:
        rung, wire = Rung(job, monotonic()), self._wire
        if wire is None or _kind(job) not in wire.lines:
            self._wanted.add(_kind(job))
            return None
        # Whoever is interrupted in the middle of a message has it, and nobody else speaks over it again.
        self._wire = None
        try:
            is_free = self._has_answer(wire)
            if is_free:
                wire.send(job)
                self._unanswered = rung
        except Interruption:
            raise
        except Exception as error:
            self._give_up(wire, error)
            return None
        self._wire = wire
        return rung if is_free else None

    def listen(self) -> None:
        """Read the answer that is outstanding, if one is; one that takes too long is no good one."""
        with self._lock:
            if self._wire is None:
                self._miss_answer()
                return
            try:
                if not (self._has_answer(self._wire) or self._may_still_come()):
                    raise RedisConnectionError("no answer")
            except Exception as error:
                wire, self._wire = self._wire, None
                self._give_up(wire, error)

    def prepare(self) -> None:
        """Do what somebody wanted who could not ring; waits for the broker."""
        with self._lock:
            known, kinds = self._wire, set(self._wanted)
        if not kinds or monotonic() < self._try_at:
            return
        try:
            wire = known or _Wire(self._settings.broker_url)
            for kind in kinds:
                wire.learn(kind)
        except Exception as error:  # whatever a transport raises; the publisher says that the broker is away
            log.debug("no bell, the publisher sends what is handed in", reason=repr(error))
            self._try_at = monotonic() + TRIES_AGAIN_AFTER_SECONDS
            return
        with self._lock:
            self._wanted -= kinds
            if known is None:
                self._miss_answer()  # whoever rang last may have been interrupted
                self._wire = wire

    def _has_answer(self, wire: "_Wire") -> bool:
        """Tell whether all that was sent is answered; raises what Redis says, or that it hung up."""
        rung = self._unanswered
        if rung is not None:
            if not wire.has_something_to_read():
                return False
            wire.read()
            rung.is_taken, self._unanswered = True, None
        if wire.has_something_to_read():
            raise RedisConnectionError("it hung up, or says what nobody asked")
        return True

    def _may_still_come(self) -> bool:
        patience = self._settings.broker.timeout.total_seconds()
        return self._unanswered is not None and monotonic() < self._unanswered.sent_at + patience

    def _give_up(self, wire: "_Wire", error: Exception) -> None:
        self._miss_answer()
        log.debug("bell given up, the publisher sends what is handed in", reason=repr(error))
        wire.close()

    def _miss_answer(self) -> None:
        rung = self._unanswered
        if rung is not None:
            rung.is_taken = False
            if rung.is_committed:
                self._not_taken(rung.job)
            self._unanswered = None


def _kind(job: QueuedJob) -> Kind:
    return job.task, job.queue, job.priority


class _Wire:
    """A connection as kombu opens it: by the transport's options, Sentinels and prefix of keys."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self.lines: dict[Kind, RedisLine] = {}
        self._connection = app.connection_for_write()
        try:
            channel: Any = self._connection.default_channel
            self._channel = channel
            self._redis = channel.client.connection_pool.get_connection()
        except BaseException:
            self.close()
            raise

    def learn(self, kind: Kind) -> None:
        """Ask Celery what it says about jobs of a kind, which takes milliseconds."""
        self.lines[kind] = RedisLine.of(self._channel, self._broker_url, *kind)

    def send(self, job: QueuedJob) -> None:
        line = self.lines[_kind(job)]
        key = f"{self._channel.global_keyprefix}{line.key}"
        message = self._redis.pack_command("LPUSH", key, line.message([job]))
        self._redis.send_packed_command(message, check_health=False)  # which would wait for an answer

    def has_something_to_read(self) -> bool:
        return bool(self._redis.can_read(0))

    def read(self) -> None:
        # All of it is there, or it is no answer.
        self._redis.read_response(timeout=0)

    def close(self) -> None:
        self._connection.collect()
