"""Sends messages to Redis: fills in templates as text, and pushes them onto the lists in one write."""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import uuid4

from kombu import Connection
from kombu.utils import json

from jobyard.broker.celery_app import app
from jobyard.broker.kill_limit import kill_after
from jobyard.broker.message_template import (
    ARGS_REPR_PLACEHOLDER,
    FIRST_ID_PLACEHOLDER,
    SECRET,
    MessageTemplate,
    args_repr,
)
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.settings.queues import broker_priority

BODY_PLACEHOLDER: Final = f"@body-{SECRET}@"
TAG_PLACEHOLDER: Final = f"@delivery-tag-{SECRET}@"


@dataclass(frozen=True)
class RedisTemplate:
    """The Redis list for one kind of message, and the text of the message with placeholders."""

    key: str
    text: str
    template: MessageTemplate

    @classmethod
    def for_kind(
        cls,
        channel: Any,
        broker_url: str,
        task: str,
        queue: str,
        priority: int,
        kill_seconds: int | None = None,
    ) -> "RedisTemplate":
        """Build the template with a kombu channel to Redis; sends nothing."""
        template = MessageTemplate.for_task(task, kill_seconds)
        redis_priority = broker_priority(priority, broker_url)
        message = channel.prepare_message(
            "", redis_priority, "application/json", "utf-8", template.headers, dict(template.properties)
        )
        channel._inplace_augment_message(message, "", queue)
        assert message["properties"]["body_encoding"] == "base64"
        message["body"], message["properties"]["delivery_tag"] = BODY_PLACEHOLDER, TAG_PLACEHOLDER
        return cls(channel._q_for_pri(queue, redis_priority), json.dumps(message), template)

    def message(self, bundle: Sequence[QueuedJob]) -> str:
        """Return the text of the message about these jobs."""
        return (
            self.text.replace(FIRST_ID_PLACEHOLDER, bundle[0].id)
            .replace(ARGS_REPR_PLACEHOLDER, args_repr(bundle))
            .replace(TAG_PLACEHOLDER, str(uuid4()))
            .replace(BODY_PLACEHOLDER, b64encode(self.template.filled_body(bundle).encode()).decode())
        )


class RedisSender:
    """Sends the messages that kombu's Redis transport would send, through its channel; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._broker_url = settings.broker_url
        self._connection: Connection | None = None
        self._template_of = cache(self._make_template)

    def send(self, bundles: Sequence[Sequence[QueuedJob]]) -> None:
        """Send a message for each bundle; workers fetch messages of one list in the order of the bundles."""
        try:
            self._push(self._messages(bundles))
        except BaseException:
            self._disconnect()
            raise

    def _messages(self, bundles: Sequence[Sequence[QueuedJob]]) -> dict[str, list[str]]:
        messages = defaultdict(list)
        for bundle in bundles:
            first = bundle[0]
            own_limit = kill_after(first.time_limit)
            template = self._template_of(first.task, first.queue, first.priority, own_limit)
            messages[template.key].append(template.message(bundle))
        return messages

    def _push(self, messages: dict[str, list[str]]) -> None:
        with self._channel().client.pipeline(transaction=False) as pipeline:
            for key, texts in messages.items():
                pipeline.lpush(key, *texts)
            pipeline.execute()

    def _make_template(self, task: str, queue: str, priority: int, kill_seconds: int | None) -> RedisTemplate:
        return RedisTemplate.for_kind(self._channel(), self._broker_url, task, queue, priority, kill_seconds)

    def _channel(self) -> Any:
        if self._connection is None:
            self._connection = app.connection_for_write()
        return self._connection.default_channel

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()
