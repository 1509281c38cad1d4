"""RabbitMQ as the broker of a test: a virtual host of its own on the tests' node."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import amqp
from amqp.exceptions import NotFound

from jobyard.settings.priority_bands import RABBITMQ_PREFIX
from tests.support.broker import RABBITMQ, Broker, RawMessage
from tests.support.rabbitmq_node import RabbitMQNode

_numbers = count(1)
_ALL = '<<".*">>'


class RabbitMQBroker(Broker):
    """A virtual host that is made when the broker starts for the first time, and gone when it is closed.

    What happens to the node (a signal, a lack of memory) happens to this host alone, for no other test is
    under way on it.
    """

    name = RABBITMQ
    mark_of_a_publish = b"\x00\x3c\x00\x28"  # the class and the method of basic.publish
    opening_of_a_message = b'[[["'

    def __init__(self, node: RabbitMQNode) -> None:
        self.node, self.port, self.folder = node, node.port, node.home / "mnesia"
        self.host = f"test-{next(_numbers)}"
        self._is_made = False

    @property
    def settings(self) -> dict[str, str]:
        return {"JOBYARD_BROKER__URL": self.url_by(self.port)}

    def url_by(self, port: int) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port}/{self.host}"

    @property
    def process_id(self) -> int | None:
        return self.node.process_id

    def start(self) -> None:
        if not self.node.is_running:
            self.node.start()
        if not self._is_made:
            self._make()
            self._is_made = True

    def stop(self) -> None:
        self.node.stop()

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        self.node.kill(with_signal)

    def close(self) -> None:
        self.node.kill(signal.SIGCONT)
        if self.node.is_running:
            self.relieve()
            self.node.tell(self._deletion)

    def forget_everything(self) -> None:
        self.node.tell(f"{self._deletion}, {self._creation}")

    def reset_connections(self) -> None:
        self.node.tell("[exit(Connection, kill) || Connection <- rabbit_networking:connections()]")

    def fill_up(self) -> None:
        self._set_memory_limit("0.00001")

    def relieve(self) -> None:
        self._set_memory_limit("0.4")

    def refuse_messages(self) -> None:
        """Answer every message with a nack: no queue may hold any."""
        limits = '[{<<"max-length">>, 0}, {<<"overflow">>, <<"reject-publish">>}]'
        policy = f'<<"full">>, {_ALL}, {limits}, 0, <<"queues">>'
        self.node.tell(f'rabbit_policy:set(<<"{self.host}">>, {policy}, <<"guest">>)')

    def accept_messages(self) -> None:
        """Take messages again that were refused."""
        self.node.tell(f'rabbit_policy:delete(<<"{self.host}">>, <<"full">>, <<"guest">>)')

    def names(self) -> set[str]:
        names = f'[element(4, Name) || Name <- rabbit_amqqueue:list_names(<<"{self.host}">>)]'
        told = self.node.tell(f'lists:flatten(io_lib:format("~p", [{names}]))')
        return set(re.findall(r'<<"(.*?)">>', told))

    def depth(self, queue: str = "default") -> int:
        with self.connected() as connection:
            try:
                return int(connection.channel().queue_declare(own_name(queue), passive=True).message_count)
            except NotFound:
                return 0

    def peek(self, queue: str = "default") -> list[RawMessage]:
        with self.connected() as connection:
            channel, found = connection.channel(), []
            try:
                while message := channel.basic_get(own_name(queue)):
                    found.append(_read(message))
            except NotFound:
                return []
            return found  # what is not acknowledged goes back to its place

    def push(self, message: RawMessage, queue: str = "default") -> None:
        self._publish(
            amqp.Message(
                message.body,
                application_headers=dict(message.headers),
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                **{name: value for name, value in message.properties.items() if value is not None},
            ),
            own_name(queue),
        )

    def push_bytes(self, content: bytes, queue: str = "default") -> None:
        self.push_to(own_name(queue), content)

    def push_to(self, name: str, content: bytes) -> None:
        """Put something into a queue by RabbitMQ's own name for it."""
        self._publish(amqp.Message(content), name)

    def has_a_waiting_consumer(self) -> bool:
        # What a consumer may hold is pushed to it, whether it looks or not.
        with self.connected() as connection:
            return bool(connection.channel().queue_declare(own_name("default"), passive=True).consumer_count)

    def delete_queue(self, queue: str) -> None:
        with self.connected() as connection:
            connection.channel().queue_delete(own_name(queue))

    @contextmanager
    def set_for_new_channels(self, **settings: int) -> Iterator[None]:
        """Change settings of the node for what connects in the block."""
        before = {name: self.node.tell(f"application:get_env(rabbit, {name})") for name in settings}
        for name, value in settings.items():
            self.node.tell(f"application:set_env(rabbit, {name}, {value})")
        try:
            yield
        finally:
            for name, was in before.items():
                is_now = was.removeprefix("{ok, ").removesuffix("}")
                self.node.tell(f"application:set_env(rabbit, {name}, {is_now})")

    def connected(self) -> Any:
        """Return a connection, open for the block."""
        return amqp.Connection(
            f"127.0.0.1:{self.port}", virtual_host=self.host, connect_timeout=5, read_timeout=5
        )

    def _publish(self, message: Any, queue: str) -> None:
        with self.connected() as connection:
            channel = connection.channel()
            channel.confirm_select()
            channel.basic_publish_confirm(message, routing_key=queue, mandatory=True)

    def _make(self) -> None:
        self.node.tell(self._creation)

    @property
    def _creation(self) -> str:
        permissions = f'<<"guest">>, <<"{self.host}">>, {_ALL}, {_ALL}, {_ALL}, <<"guest">>'
        return (
            f'rabbit_vhost:add(<<"{self.host}">>, <<"guest">>), '
            f"rabbit_auth_backend_internal:set_permissions({permissions})"
        )

    @property
    def _deletion(self) -> str:
        return f'rabbit_vhost:delete(<<"{self.host}">>, <<"guest">>)'

    def _set_memory_limit(self, share: str) -> None:
        self.node.tell(f"vm_memory_monitor:set_vm_memory_high_watermark({share})")


def own_name(queue: str) -> str:
    """Return RabbitMQ's name for one of our queues, or for a band of one."""
    return f"{RABBITMQ_PREFIX}{queue}"


def _read(message: Any) -> RawMessage:
    properties = dict(message.properties)
    return RawMessage(
        body=message.body if isinstance(message.body, bytes) else message.body.encode(),
        headers=properties.pop("application_headers", {}),
        content_type=properties.pop("content_type", None),
        content_encoding=properties.pop("content_encoding", None),
        properties=properties,
    )
