"""kombu's SQS transport, less the ways in which an answer or a message takes a worker down or leaves it deaf.

Measured with kombu 5.7.0: a poll that SQS refuses, that nobody answers, or that is answered with something
else ends the worker or is the last of its queue. Here whatever comes of a poll, another follows: requests
over HTTP have no connection that could be lost.
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

from jobyard.broker.malformed_messages import drop, guarded
from jobyard.broker.sqs.batches import PublishBatch
from jobyard.jobs.clock import monotonic

log = structlog.get_logger()

# What is about the broker. kombu leaves out what SQS refuses.
BROKER_FAULTS: Final[tuple[Any, ...]] = (BotoCoreError, ClientError, OSError)
NO_SUCH_QUEUE: Final = "NonExistentQueue"
AFTER_REFUSAL_SECONDS: Final = 1.0
SILENT_FOR_SECONDS: Final = 5.0

# The stubs know little of either.
_KombuPolls: Any = AsyncSQSConnection
_KombuChannel: Any = SQS.Channel

_clients: dict[tuple[Any, ...], Any] = {}


class Polls(_KombuPolls):  # type: ignore[misc]
    """The requests for messages, one for each queue, which wait on kombu's event loop."""

    def __init__(self, channel: "Channel") -> None:
        super().__init__(sqs_connection=channel.sqs(), region=channel.region)
        self._channel = channel

    def get_http_connection(self) -> Any:
        """Overridden so that a silent SQS is given up a little after it should have answered."""
        patience = self._channel.wait_time_seconds + self._channel.patience_seconds
        return AsyncHTTPSConnection(http_client=self._httpclient, timeout=patience)

    def _on_list_ready(self, parent: Any, markers: Any, operation: Any, response: Any) -> dict[str, Any]:
        """Overridden so that no answer is the last."""
        try:
            if response.status == self.STATUS_CODE_OK:
                answer = dict(super()._on_list_ready(parent, markers, operation, response))
                self._channel.note_answer(parent)
                return answer
            refusal = f"HTTP {response.status} {response.read() or response.reason}"
        except Exception as error:  # whatever answers there is no SQS
            refusal = f"{type(error).__name__}: {error}"
        self._channel.note_refusal(parent, refusal[:500])
        return {}


class Channel(_KombuChannel):  # type: ignore[misc]
    """A channel to SQS that goes on, whatever it is answered."""

    _is_made = False
    _silent_until = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._refusals: dict[str, str] = {}
        self._polls: Polls | None = None
        super().__init__(*arguments, **options)
        self._is_made = True

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        """Overridden so that a queue is looked for when it is needed, and making a channel asks nobody.

        kombu tries a connection twice, with a pause of 2 s, before who wants a figure is told that there is
        none; the keeper asked for four figures of a silent SQS for 24 s.
        """
        if self._is_made:
            super()._update_queue_cache(queue_name_prefix)

    @property
    def patience_seconds(self) -> float:
        return float(self.transport_options["client-config"]["read_timeout"])

    def new_sqs_client(self, *whose: Any, **more: Any) -> Any:
        """Overridden because a client takes long to make, and keeps its connections; not over a fork."""
        place = (os.getpid(), self.endpoint_url, self.patience_seconds, *whose, *more.values())
        if place not in _clients:
            _clients[place] = super().new_sqs_client(*whose, **more)
        return _clients[place]

    def asynsqs(self, queue: str | None = None) -> Polls:
        """Overridden for polls of ours."""
        if self._polls is None:
            self._polls = Polls(self)
        return self._polls

    def note_answer(self, name: str) -> None:
        """Note that SQS has answered for a queue, after refusals perhaps."""
        if self._refusals.pop(name, None):
            log.info("SQS answers again", queue=name)

    def note_refusal(self, name: str, refusal: str) -> None:
        """Note that SQS gave no messages and why, once for each reason; a queue that is gone is made anew."""
        if NO_SUCH_QUEUE in refusal:
            self._queue_cache.pop(name, None)
        if self._refusals.get(name) != refusal:
            self._refusals[name] = refusal
            log.warning("SQS gave no messages, asking again", queue=name, answer=refusal)

    def queue_declare(self, queue: str | None = None, passive: bool = False, **options: Any) -> Any:
        """Overridden so that a queue is made by who first sends or asks for a message, and tries again."""
        if passive:
            return super().queue_declare(queue, passive, **options)
        return queue_declare_ok_t(queue or "", 0, 0)

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> str:
        """Overridden for what is wrong with a message, or goes wrong when Celery takes it."""
        safe = callback if no_ack else guarded(callback, BROKER_FAULTS)
        return str(super().basic_consume(queue, no_ack, safe, consumer_tag, **options))

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Overridden so that a silent SQS is not waited for with every message: each comes again, no more."""
        if monotonic() < self._silent_until:
            self.qos.ack(delivery_tag)
            return
        try:
            super().basic_ack(delivery_tag, multiple)
        except BROKER_FAULTS as error:  # kombu has given the slot back
            self._silent_until = monotonic() + SILENT_FOR_SECONDS
            log.warning("messages not deleted, they come again and claim nothing", reason=repr(error)[:300])

    def _schedule_queue(self, queue: str) -> None:
        """Overridden so that a queue that cannot be made or asked just now is not given up."""
        try:
            super()._schedule_queue(queue)
        except BROKER_FAULTS as error:
            self.note_refusal(self.canonical_queue_name(queue), repr(error)[:500])
            self._loop1(queue)

    def _loop1(self, queue: str, messages_fetched: int | None = None) -> None:
        """Overridden so that who refuses is not asked twenty times a second."""
        if self.canonical_queue_name(queue) in self._refusals:
            self.hub.call_later(AFTER_REFUSAL_SECONDS, self._schedule_queue, queue)
        else:
            super()._loop1(queue, messages_fetched)

    def _get_message_estimate(self, max_if_unlimited: int = SQS.SQS_MAX_MESSAGES) -> int:
        """Overridden because all queues are asked at once: together they fetch what there are slots for."""
        free = int(super()._get_message_estimate(max_if_unlimited * len(self._active_queues)))
        return min(max_if_unlimited, max(1, free // len(self._active_queues)))

    def _on_messages_ready(self, queue: str, qname: str, messages: Any) -> int:
        """Overridden for what is wrong before there is a message."""
        found = messages.get("Messages") or []
        if found and qname not in self.connection._callbacks:  # stopping: kombu gives them back
            return int(super()._on_messages_ready(queue, qname, messages))
        for raw in found:
            self._deliver_safely(queue, qname, raw)
        return len(found)

    def _deliver_safely(self, url: str, queue: str, raw: Any) -> None:
        try:
            message = self._message_to_python(raw, queue, url)
            self.connection._callbacks[queue](message)
        except BROKER_FAULTS:
            raise
        except Exception as error:
            drop(error)
            self.sqs().delete_message(QueueUrl=url, ReceiptHandle=raw["ReceiptHandle"])

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Return what gathers messages, as kombu's `Producer.batch` asks; kombu sends each by itself."""
        return PublishBatch(self, max_size)

    def _put(self, queue: str, message: Any, batch: PublishBatch | None = None, **options: Any) -> None:
        """Overridden for batches, and for a queue that is gone."""
        if batch is not None:
            batch.add(queue, dumps(message))
            return
        self.with_queue(queue, lambda _: super(Channel, self)._put(queue, message, **options))

    def with_queue(self, queue: str, send: Any) -> Any:
        """Call `send` with the queue's URL; where the queue is gone, once more when it is made anew."""
        try:
            return send(self._new_queue(queue))
        except ClientError as error:
            if NO_SUCH_QUEUE not in str(error.response["Error"]["Code"]):
                raise
            self._queue_cache.pop(self.canonical_queue_name(queue), None)
            return send(self._new_queue(queue))


class Transport(SQS.Transport):
    """kombu's SQS transport with channels of ours, for which a refusal is a broker that is away."""

    Channel = Channel
    connection_errors = (*SQS.Transport.connection_errors, ClientError)
