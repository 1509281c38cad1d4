"""Sends messages to RabbitMQ: many in flight, each confirmed by the broker, and none that leads nowhere."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import structlog
from amqp.basic_message import Message
from amqp.exceptions import AMQPError

from jobyard.broker.celery_app import app
from jobyard.broker.message_template import MessageForm
from jobyard.broker.queues import kombu_queue
from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue
from jobyard.settings.queues import broker_priority

log = structlog.get_logger()


class NotTakenError(Exception):
    """RabbitMQ refused a message, had no queue for it, or did not confirm it in time."""


class RabbitMQPost:
    """Publishes over a line that it keeps, and opens anew where it was lost; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._patience = settings.broker.timeout.total_seconds()
        self._form = cache(MessageForm.of)
        self._line: _Line | None = None

    def send(self, bundles: Sequence[Sequence[QueuedJob]]) -> None:
        """Send a message for each bundle, and return when RabbitMQ has confirmed them all."""
        messages = [(self._queue_of(bundle[0]), self._message(bundle)) for bundle in bundles]
        if self._line is not None and self._has_sent_over_the_old_line(messages):
            return
        self._line = _Line(self._patience)
        try:
            self._line.send(messages)
        except BaseException:
            self._hang_up()
            raise

    def _has_sent_over_the_old_line(self, messages: "Sequence[tuple[Any, Message]]") -> bool:
        # RabbitMQ may have closed it since, which nobody notices who says nothing. Silence is no such sign.
        assert self._line is not None
        try:
            self._line.send(messages)
        except (OSError, AMQPError) as error:
            self._hang_up()
            if isinstance(error, TimeoutError):
                raise
            log.debug("line lost, opening another", reason=repr(error))
            return False
        except BaseException:
            self._hang_up()
            raise
        return True

    def _queue_of(self, job: QueuedJob) -> Any:
        return kombu_queue(broker_queue(job.queue, job.priority, self._settings), job.queue)

    def _message(self, bundle: Sequence[QueuedJob]) -> Message:
        form = self._form(bundle[0].task)
        return Message(
            form.filled_body(bundle),
            application_headers=form.filled_headers(bundle),
            content_type="application/json",
            content_encoding="utf-8",
            priority=broker_priority(bundle[0].priority, self._settings.broker_url),
            **(form.properties | {"correlation_id": bundle[0].id}),
        )

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


class _Line:
    """A connection whose channel confirms; what it sends to is declared before the first message."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._sent = 0
        self._declared: set[str] = set()
        self._unconfirmed: set[int] = set()
        self._refusal: str | None = None
        self._is_blocked = False
        # Nobody would answer heartbeats between two messages, and RabbitMQ would hang up.
        self._connection: Any = app.connection_for_write(heartbeat=0)
        try:
            self._channel = self._open_channel()
        except BaseException:
            self.close()
            raise

    def _open_channel(self) -> Any:
        channel = self._connection.default_channel
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        channel.confirm_select()
        self._connection.connection.on_blocked = self._on_blocked
        return channel

    def send(self, messages: Iterable[tuple[Any, Message]]) -> None:
        for queue, message in messages:
            self._declare(queue)
            self._sent += 1
            self._unconfirmed.add(self._sent)
            self._channel.basic_publish(message, "", queue.name, mandatory=True, timeout=self._patience)
        self._wait_for_confirms()

    def _declare(self, queue: Any) -> None:
        if queue.name not in self._declared:
            queue(self._channel).declare()
            self._declared.add(queue.name)

    def _wait_for_confirms(self) -> None:
        until = monotonic() + self._patience
        while self._unconfirmed and self._refusal is None:
            left = until - monotonic()
            if left <= 0:
                raise NotTakenError(self._silence())
            try:
                self._connection.drain_events(timeout=left)
            except TimeoutError:
                raise NotTakenError(self._silence()) from None
        if self._refusal is not None:
            raise NotTakenError(self._refusal)

    def _silence(self) -> str:
        why = "it takes none now, see its alarms (memory, disk)" if self._is_blocked else "it is silent"
        return f"RabbitMQ has not confirmed {len(self._unconfirmed)} messages in {self._patience:g} s: {why}"

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._unconfirmed = {other for other in self._unconfirmed if other > tag}
        else:
            self._unconfirmed.discard(tag)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refusal = "RabbitMQ refused a message (nack)"

    def _on_return(self, error: Exception, exchange: str, queue: str, message: Message) -> None:
        self._refusal = f"RabbitMQ has no queue {queue} any more: {error}"

    def _on_blocked(self, reason: str) -> None:
        self._is_blocked = True

    def close(self) -> None:
        self._connection.collect(socket_timeout=self._patience)
