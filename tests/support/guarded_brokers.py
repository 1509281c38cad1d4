"""Brokers that want a password, in the clear and with TLS, at ports of their own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from jobyard.local.valkey import find_server
from tests.support.certificates import Certificate
from tests.support.children import start_child
from tests.support.processes import answers, free_port
from tests.support.rabbitmq_node import RabbitMQNode
from tests.support.waiting import wait_until

# Every character that means something in a URL: where one part of it is found in a log, it was not hidden.
SECRET: Final = "s3cret/?#@:%41"
ENCODED: Final = quote(SECRET, safe="")
SHORTEST_PART: Final = "s3cret"
_NO_TLS: Final = "no redis-server or valkey-server with TLS is installed"
RABBITMQ_USER: Final = "ada"


@dataclass
class GuardedRedis:
    """A Redis with a password, and TLS at a second port where the machine has a server that can."""

    folder: Path
    certificate: Certificate
    _tls_port: int | None = None

    def __post_init__(self) -> None:
        self.port = free_port()
        self.start()

    @property
    def tls_port(self) -> int:
        """The port with TLS; skips the test where no server has it, and fails it where `CI` is set."""
        if self._tls_port is None and os.environ.get("CI"):
            pytest.fail(_NO_TLS)
        if self._tls_port is None:
            pytest.skip(_NO_TLS)
        return self._tls_port

    def start(self) -> None:
        installed = next(filter(None, map(shutil.which, ("redis-server", "valkey-server"))), None)
        tls_port = free_port()
        if installed is None or not self._starts(installed, tls_port):
            assert self._starts(find_server(), None), (self.folder / "redis.log").read_text()

    def _starts(self, server: str, tls_port: int | None) -> bool:
        files = self.certificate.path, self.certificate.key
        tls: dict[str, object] = {
            "tls-port": tls_port,
            "tls-cert-file": files[0],
            "tls-key-file": files[1],
            "tls-ca-cert-file": files[0],
            "tls-auth-clients": "no",
        }
        options = {
            "port": self.port,
            "requirepass": SECRET,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "databases": 16,
        } | (tls if tls_port else {})
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with (self.folder / "redis.log").open("ab") as log:
            process = start_child([server, *words], stdout=log, stderr=log)
        ports = [self.port, *([tls_port] if tls_port else [])]
        wait_until(lambda: process.poll() is not None or all(map(answers, ports)), 20, "Redis to answer")
        self._process, self._tls_port = process, tls_port
        return process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def url(self, password: str = ENCODED, db: int = 0) -> str:
        return f"redis://:{password}@127.0.0.1:{self.port}/{db}"


@dataclass
class GuardedRabbitMQ:
    """A node with TLS at a second port, and a user who may do everything in one virtual host."""

    folder: Path
    certificate: Certificate

    def __post_init__(self) -> None:
        self.tls_port = free_port()
        files = f'{{certfile, "{self.certificate.path}"}}, {{keyfile, "{self.certificate.key}"}}'
        self.node = RabbitMQNode(
            self.folder,
            f'{{ssl_listeners, [{{"127.0.0.1", {self.tls_port}}}]}}, {{ssl_options, [{files}]}}',
        )
        self.start()
        user = f'<<"{RABBITMQ_USER}">>'
        self.node.tell(f'rabbit_auth_backend_internal:add_user({user}, <<"{SECRET}">>, <<"tests">>)')
        self._permit("/")
        self.node.tell('rabbit_vhost:add(<<"foreign">>, <<"tests">>)')

    def make_vhost(self, name: str, configure: str = ".*") -> None:
        """Make a virtual host where the user may configure what matches."""
        self.node.tell(f'rabbit_vhost:add(<<"{name}">>, <<"tests">>)')
        self._permit(name, configure)

    def _permit(self, vhost: str, configure: str = ".*") -> None:
        rights = ", ".join(f'<<"{right}">>' for right in (configure, ".*", ".*"))
        self.node.tell(
            f'rabbit_auth_backend_internal:set_permissions(<<"{RABBITMQ_USER}">>, <<"{vhost}">>, {rights}, '
            '<<"tests">>)'
        )

    @property
    def port(self) -> int:
        return self.node.port

    def start(self) -> None:
        self.node.start()

    def kill(self) -> None:
        self.node.kill()

    def url(self, password: str = ENCODED, vhost: str = "") -> str:
        return f"amqp://{RABBITMQ_USER}:{password}@127.0.0.1:{self.port}/{vhost}"


@contextmanager
def guarded_redis(folder: Path, certificate: Certificate) -> Iterator[GuardedRedis]:
    redis = GuardedRedis(folder, certificate)
    try:
        yield redis
    finally:
        redis.kill()


@contextmanager
def guarded_rabbitmq(folder: Path, certificate: Certificate) -> Iterator[GuardedRabbitMQ]:
    rabbitmq = GuardedRabbitMQ(folder, certificate)
    try:
        yield rabbitmq
    finally:
        rabbitmq.node.close()
