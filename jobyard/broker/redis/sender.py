"""Sends messages to Redis: templates filled in as text, and pushed onto the lists in one write."""

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
from jobyard.broker.message_template import FIRST_ID, SHOWN, MessageTemplate, shown
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.settings.queues import broker_priority

BODY: Final = "@body@"
TAG: Final = "@delivery-tag@"


@dataclass(frozen=True)
class RedisTemplate:
    """The list that a kind of message belongs to, and its text with blanks."""

    key: str
    text: str
    template: MessageTemplate

    @classmethod
    def of(cls, channel: Any, broker_url: str, task: str, queue: str, priority: int) -> "RedisTemplate":
        """Ask kombu, by one of its channels to Redis; waits for nobody."""
        template, broker_says = MessageTemplate.of(task), broker_priority(priority, broker_url)
        message = channel.prepare_message(
            "", broker_says, "application/json", "utf-8", template.headers, dict(template.properties)
        )
        channel._inplace_augment_message(message, "", queue)
        assert message["properties"]["body_encoding"] == "base64"
        message["body"], message["properties"]["delivery_tag"] = BODY, TAG
        return cls(channel._q_for_pri(queue, broker_says), json.dumps(message), template)

    def message(self, bundle: Sequence[QueuedJob]) -> str:
        """Return the message about these jobs as text."""
        return (
            self.text.replace(FIRST_ID, bundle[0].id)
            .replace(SHOWN, shown(bundle))
            .replace(TAG, str(uuid4()))
            .replace(BODY, b64encode(self.template.filled_body(bundle).encode()).decode())
        )


class RedisSender:
    """Sends messages as kombu's Redis transport would, through a channel of it; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._broker_url = settings.broker_url
        self._connection: Connection | None = None
        self._template_of = cache(self._make_template)

    def send(self, bundles: Sequence[Sequence[QueuedJob]]) -> None:
        """Send a message for each bundle; of those on one list the first is fetched first."""
        try:
            self._push(self._messages(bundles))
        except BaseException:
            self._disconnect()
            raise

    def _messages(self, bundles: Sequence[Sequence[QueuedJob]]) -> dict[str, list[str]]:
        messages = defaultdict(list)
        for bundle in bundles:
            template = self._template_of(bundle[0].task, bundle[0].queue, bundle[0].priority)
            messages[template.key].append(template.message(bundle))
        return messages

    def _push(self, messages: dict[str, list[str]]) -> None:
        with self._channel().client.pipeline(transaction=False) as pipeline:
            for key, some in messages.items():
                pipeline.lpush(key, *some)
            pipeline.execute()

    def _make_template(self, task: str, queue: str, priority: int) -> RedisTemplate:
        return RedisTemplate.of(self._channel(), self._broker_url, task, queue, priority)

    def _channel(self) -> Any:
        if self._connection is None:
            self._connection = app.connection_for_write()
        return self._connection.default_channel

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()
