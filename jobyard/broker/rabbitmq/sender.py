"""Sends messages to RabbitMQ: many in flight, each one routed to a queue and confirmed by the broker."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from amqp.basic_message import Message

from jobyard.broker.celery_app import app
from jobyard.broker.kept_connection import KeptConnection
from jobyard.broker.kill_limit import kill_after
from jobyard.broker.message_sender import Bundles
from jobyard.broker.message_template import MessageTemplate
from jobyard.broker.queues import kombu_queue
from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue
from jobyard.settings.queues import broker_priority


class NotTakenError(Exception):
    """RabbitMQ refused a message, had no queue for it, or did not confirm it in time."""


class RabbitMQSender:
    """Sends over one kept connection; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        timeout_seconds = settings.broker.timeout.total_seconds()
        self._template = cache(MessageTemplate.for_task)
        self._connection = KeptConnection(lambda: _ConfirmedConnection(timeout_seconds))

    def send(self, bundles: Bundles) -> None:
        """Send a message for each bundle, and return when RabbitMQ has confirmed them all."""
        messages = [(self._queue_of(bundle[0]), self._message(bundle)) for bundle in bundles]
        self._connection.use(lambda connection: connection.send(messages))

    def _queue_of(self, job: QueuedJob) -> Any:
        return kombu_queue(broker_queue(job.queue, job.priority, self._settings), job.queue)

    def _message(self, bundle: Sequence[QueuedJob]) -> Message:
        template = self._template(bundle[0].task, kill_after(bundle[0].time_limit))
        return Message(
            template.filled_body(bundle),
            application_headers=template.filled_headers(bundle),
            content_type="application/json",
            content_encoding="utf-8",
            priority=broker_priority(bundle[0].priority, self._settings.broker_url),
            **(template.properties | {"correlation_id": bundle[0].id}),
        )


class _ConfirmedConnection:
    """A connection with publisher confirms, which declares each queue before its first message."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._sent = 0
        self._declared: set[str] = set()
        self._unconfirmed: set[int] = set()
        self._refusal: str | None = None
        self._is_blocked = False
        # Heartbeats would not be answered between two messages, and RabbitMQ would close the connection.
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
            self._channel.basic_publish(
                message, "", queue.name, mandatory=True, timeout=self._timeout_seconds
            )
        self._wait_for_confirms()

    def _declare(self, queue: Any) -> None:
        if queue.name not in self._declared:
            queue(self._channel).declare()
            self._declared.add(queue.name)

    def _wait_for_confirms(self) -> None:
        until = monotonic() + self._timeout_seconds
        while self._unconfirmed and self._refusal is None:
            remaining = until - monotonic()
            if remaining <= 0:
                raise NotTakenError(self._timeout_reason())
            try:
                self._connection.drain_events(timeout=remaining)
            except TimeoutError:
                raise NotTakenError(self._timeout_reason()) from None
        if self._refusal is not None:
            raise NotTakenError(self._refusal)

    def _timeout_reason(self) -> str:
        cause = "it takes none now, see its alarms (memory, disk)" if self._is_blocked else "it is silent"
        count, seconds = len(self._unconfirmed), self._timeout_seconds
        return f"RabbitMQ has not confirmed {count} messages in {seconds:g} s: {cause}"

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
        self._connection.collect(socket_timeout=self._timeout_seconds)
