"""kombu's SQS transport, guarded so that no answer and no message can end a worker or its polling.

Measured with kombu 5.7.0: after a poll that SQS refuses, does not answer, or answers with something else, the
worker ends or never polls that queue again. Here every poll is followed by another: requests over HTTP have
no connection that could be lost.
"""

import os
from typing import Any, Final

import structlog
from amqp.protocol import queue_declare_ok_t
from botocore.exceptions import BotoCoreError, ClientError
from kombu.asynchronous.aws.connection import AsyncHTTPSConnection
from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection
from kombu.transport import SQS
from kombu.utils.json import dumps

from jobyard.broker.malformed_messages import guarded_callback, record_dropped
from jobyard.broker.sqs.batches import PublishBatch
from jobyard.jobs.clock import monotonic

log = structlog.get_logger()

# Errors of the broker. kombu does not count refusals by SQS among them.
BROKER_FAULTS: Final[tuple[Any, ...]] = (BotoCoreError, ClientError, OSError)
NO_SUCH_QUEUE: Final = "NonExistentQueue"
# The pause between a refused poll and the next one.
PAUSE_AFTER_REFUSAL_SECONDS: Final = 1.0
# How long no message is deleted after SQS failed to delete one.
PAUSE_AFTER_FAILED_DELETE_SECONDS: Final = 5.0

# The stubs lack many members of both classes.
_KombuPolls: Any = AsyncSQSConnection
_KombuChannel: Any = SQS.Channel

_clients: dict[tuple[Any, ...], Any] = {}


class Polls(_KombuPolls):  # type: ignore[misc]
    """The polls for messages, one for each queue, on kombu's event loop."""

    def __init__(self, channel: "Channel") -> None:
        super().__init__(sqs_connection=channel.sqs(), region=channel.region)
        self._channel = channel

    def get_http_connection(self) -> Any:
        """Overridden so that a poll ends soon after a silent SQS should have answered it."""
        timeout_seconds = self._channel.wait_time_seconds + self._channel.timeout_seconds
        return AsyncHTTPSConnection(http_client=self._httpclient, timeout=timeout_seconds)

    def _on_list_ready(self, parent: Any, markers: Any, operation: Any, response: Any) -> dict[str, Any]:
        """Overridden so that polling goes on after any answer."""
        try:
            if response.status == self.STATUS_CODE_OK:
                answer = dict(super()._on_list_ready(parent, markers, operation, response))
                self._channel.note_answer(parent)
                return answer
            refusal = f"HTTP {response.status} {response.read() or response.reason}"
        except Exception as error:  # the server that answers is not SQS
            refusal = f"{type(error).__name__}: {error}"
        self._channel.note_refusal(parent, refusal[:500])
        return {}


class Channel(_KombuChannel):  # type: ignore[misc]
    """A channel to SQS that keeps polling, whatever SQS answers."""

    _is_initialized = False
    _paused_until = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._refusals: dict[str, str] = {}
        self._polls: Polls | None = None
        super().__init__(*arguments, **options)
        self._is_initialized = True

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        """Overridden so that a queue is looked up when it is needed, and not when the channel is made.

        kombu tries to connect twice, with a pause of 2 s, before a request fails; reading four queue depths
        from a silent SQS took the keeper 24 s.
        """
        if self._is_initialized:
            super()._update_queue_cache(queue_name_prefix)

    @property
    def timeout_seconds(self) -> float:
        return float(self.transport_options["client-config"]["read_timeout"])

    def new_sqs_client(self, *arguments: Any, **options: Any) -> Any:
        """Overridden so that each process makes one client, which takes long, and keeps its connections."""
        key = (os.getpid(), self.endpoint_url, self.timeout_seconds, *arguments, *options.values())
        if key not in _clients:
            _clients[key] = super().new_sqs_client(*arguments, **options)
        return _clients[key]

    def asynsqs(self, queue: str | None = None) -> Polls:
        """Overridden so that the channel polls with `Polls`."""
        if self._polls is None:
            self._polls = Polls(self)
        return self._polls

    def note_answer(self, name: str) -> None:
        """Note that SQS has answered for a queue; logged after refusals."""
        if self._refusals.pop(name, None):
            log.info("SQS answers again", queue=name)

    def note_refusal(self, name: str, refusal: str) -> None:
        """Log why SQS gave no messages, once for each reason; a queue that is gone is created again."""
        if NO_SUCH_QUEUE in refusal:
            self._queue_cache.pop(name, None)
        if self._refusals.get(name) != refusal:
            self._refusals[name] = refusal
            log.warning("SQS gave no messages, asking again", queue=name, answer=refusal)

    def queue_declare(self, queue: str | None = None, passive: bool = False, **options: Any) -> Any:
        """Overridden so that a queue is created at its first send or poll, both of which are repeated."""
        if passive:
            return super().queue_declare(queue, passive, **options)
        return queue_declare_ok_t(queue or "", 0, 0)

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> str:
        """Overridden so that malformed messages, and messages that Celery fails on, are dropped."""
        safe = callback if no_ack else guarded_callback(callback, BROKER_FAULTS)
        return str(super().basic_consume(queue, no_ack, safe, consumer_tag, **options))

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Overridden so that not every message waits for a silent SQS; undeleted messages only come again."""
        if monotonic() < self._paused_until:
            self.qos.ack(delivery_tag)
            return
        try:
            super().basic_ack(delivery_tag, multiple)
        except BROKER_FAULTS as error:  # kombu has already released the slot
            self._paused_until = monotonic() + PAUSE_AFTER_FAILED_DELETE_SECONDS
            log.warning("messages not deleted, they come again and claim nothing", reason=repr(error)[:300])

    def _schedule_queue(self, queue: str) -> None:
        """Overridden so that a queue that cannot be created or polled now is polled again later."""
        try:
            super()._schedule_queue(queue)
        except BROKER_FAULTS as error:
            self.note_refusal(self.canonical_queue_name(queue), repr(error)[:500])
            self._loop1(queue)

    def _loop1(self, queue: str, messages_fetched: int | None = None) -> None:
        """Overridden so that SQS is not polled twenty times a second while it refuses."""
        if self.canonical_queue_name(queue) in self._refusals:
            self.hub.call_later(PAUSE_AFTER_REFUSAL_SECONDS, self._schedule_queue, queue)
        else:
            super()._loop1(queue, messages_fetched)

    def _get_message_estimate(self, max_if_unlimited: int = SQS.SQS_MAX_MESSAGES) -> int:
        """Overridden because all queues are polled at once: the free slots are divided among them."""
        free = int(super()._get_message_estimate(max_if_unlimited * len(self._active_queues)))
        return min(max_if_unlimited, max(1, free // len(self._active_queues)))

    def _on_messages_ready(self, queue: str, qname: str, messages: Any) -> int:
        """Overridden so that an entry that kombu cannot read as a message is dropped."""
        entries = messages.get("Messages") or []
        if entries and qname not in self.connection._callbacks:
            # The worker is stopping, and kombu gives the messages back.
            return int(super()._on_messages_ready(queue, qname, messages))
        for entry in entries:
            self._deliver_safely(queue, qname, entry)
        return len(entries)

    def _deliver_safely(self, url: str, queue: str, entry: Any) -> None:
        try:
            message = self._message_to_python(entry, queue, url)
            self.connection._callbacks[queue](message)
        except BROKER_FAULTS:
            raise
        except Exception as error:
            record_dropped(error)
            self.sqs().delete_message(QueueUrl=url, ReceiptHandle=entry["ReceiptHandle"])

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Return the batch for kombu's `Producer.batch`; kombu would send each message in its own request."""
        return PublishBatch(self, max_size)

    def _put(self, queue: str, message: Any, batch: PublishBatch | None = None, **options: Any) -> None:
        """Overridden so that messages go into batches, and a queue that is gone is created again."""
        if batch is not None:
            batch.add(queue, dumps(message))
            return
        self.with_queue(queue, lambda _: super(Channel, self)._put(queue, message, **options))

    def with_queue(self, queue: str, send: Any) -> Any:
        """Call `send` with the queue's URL; if the queue is gone, create it and call `send` once more."""
        try:
            return send(self._new_queue(queue))
        except ClientError as error:
            if NO_SUCH_QUEUE not in str(error.response["Error"]["Code"]):
                raise
            self._queue_cache.pop(self.canonical_queue_name(queue), None)
            return send(self._new_queue(queue))


class Transport(SQS.Transport):
    """kombu's SQS transport with guarded channels, which treats a refusal as a broker that is away."""

    Channel = Channel
    connection_errors = (*SQS.Transport.connection_errors, ClientError)
