"""The embedded Valkey as the broker of a test."""

import json
import signal
from base64 import b64decode, b64encode
from typing import Any
from uuid import uuid4

import redis

from jobyard.settings.queues import PRIORITIES
from tests.support.broker import REDIS, Broker, RawMessage
from tests.support.processes import Program, YardProcesses

# What stands before the name of each of our lists, where JOBYARD_REDIS__PREFIX adds nothing.
PREFIX = "jobyard:"


class RedisBroker(Broker):
    """The Valkey that a yard starts for itself."""

    name = REDIS
    mark_of_a_publish = b"LPUSH"
    opening_of_a_message = b'{"body'

    def __init__(self, yard: YardProcesses) -> None:
        self._yard = yard
        self.port, self.folder = yard.port("VALKEY"), yard.home / "valkey"

    @property
    def settings(self) -> dict[str, str]:
        return {}

    def url_by(self, port: int) -> str:
        return self._yard.valkey_url.replace(f":{self.port}/", f":{port}/")

    @property
    def client(self) -> "redis.Redis":
        """A client, for what only Redis has."""
        return redis.Redis.from_url(self._yard.valkey_url, socket_timeout=5)

    @property
    def process_id(self) -> int | None:
        process = self._program.process
        return process.pid if process.poll() is None else None

    def start(self) -> None:
        self._yard.start_valkey()

    def stop(self) -> None:
        self._program.stop()

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        self._program.kill(with_signal)

    def close(self) -> None:
        self.kill()

    def forget_everything(self) -> None:
        self.client.flushall()

    def reset_connections(self) -> None:
        self.client.client_kill_filter(_type="normal", skipme=True)

    def fill_up(self) -> None:
        self.client.config_set("maxmemory", "1kb")

    def relieve(self) -> None:
        self.client.config_set("maxmemory", "0")

    def depth(self, queue: str = "default") -> int:
        return sum(int(self.client.llen(name)) for name in _lists(queue))

    def names(self) -> set[str]:
        return {key.decode() for key in self.client.scan_iter()}

    def peek(self, queue: str = "default") -> list[RawMessage]:
        client = self.client
        return [read(raw) for name in _lists(queue) for raw in reversed(client.lrange(name, 0, -1))]

    def push(self, message: RawMessage, queue: str = "default") -> None:
        self.push_bytes(written(message, queue), queue)

    def push_bytes(self, content: bytes, queue: str = "default") -> None:
        self.client.lpush(f"{PREFIX}{queue}", content)

    def has_a_waiting_consumer(self) -> bool:
        clients = self.client.client_list()
        return any(client["cmd"] == "brpop" and "b" in client["flags"] for client in clients)

    @property
    def _program(self) -> Program:
        return next(program for program in reversed(self._yard.programs) if program.name == "valkey")


def written(message: RawMessage, queue: str = "default", **changed: Any) -> bytes:
    """Return what kombu would have written into a list of Redis; `changed` are fields of it."""
    body = b64encode(message.body).decode() if isinstance(message.body, bytes) else message.body
    properties = {
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue},
        "delivery_mode": 2,
        "priority": 5,
    } | dict(message.properties)
    fields = {
        "body": body,
        "headers": dict(message.headers),
        "properties": properties,
        "content-type": message.content_type,
        "content-encoding": message.content_encoding,
    }
    return json.dumps(fields | changed).encode()


def read(raw: bytes | str) -> RawMessage:
    """Return the message that kombu has written so."""
    fields = json.loads(raw)
    return RawMessage(
        body=b64decode(fields["body"]),
        headers=fields["headers"],
        properties=fields["properties"],
        content_type=fields["content-type"],
        content_encoding=fields["content-encoding"],
    )


def _lists(queue: str) -> list[str]:
    # kombu has a list for each priority, the most urgent first, and no number for the first.
    return [f"{PREFIX}{queue}:{priority}" if priority else f"{PREFIX}{queue}" for priority in PRIORITIES]
