"""Private Redis servers for a yard: a group that Sentinels watch, one that speaks TLS, one with users."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from tests.support.certificates import Certificate
from tests.support.processes import Program, YardProcesses, answers, free_port
from tests.support.waiting import wait_until
from yard.valkey import find_server

MASTER = "yard"
LOOPBACK = "127.0.0.1"


@dataclass
class Server:
    """A running server; it goes down with the yard's other programs."""

    program: Program
    port: int

    @cached_property
    def client(self) -> Redis:
        return Redis(LOOPBACK, self.port, socket_timeout=5, decode_responses=True)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"


def start_redis(yard: YardProcesses, *options: str, server: str | None = None) -> Server:
    """Start a server that keeps nothing on disk, with these options besides."""
    port = free_port()
    folder = yard.home / f"redis-{port}"
    folder.mkdir()
    usual = ("--bind", LOOPBACK, "--dir", str(folder), "--save", "", "--appendonly", "no")
    where = () if "--port" in options else ("--port", str(port))
    where = tuple(word.replace("PORT", str(port)) for word in (*where, *options))
    program = yard.start_command("redis", server or find_server(), *usual, *where)
    wait_until(lambda: answers(port) or program.process.poll() is not None, 20, "a Redis to answer")
    assert program.process.poll() is None, program.output()
    return Server(program, port)


def start_tls_redis(yard: YardProcesses, certificate: Certificate, *options: str) -> Server:
    """Start a server that speaks TLS alone; skipped on a laptop without one that can, an error in CI."""
    server = shutil.which("redis-server")
    if server is None or not _speaks_tls(server):
        if os.environ.get("CI"):
            pytest.fail("there is no redis-server that speaks TLS")
        pytest.skip("there is no redis-server that speaks TLS")
    files = {"cert": certificate.path, "key": certificate.key, "ca-cert": certificate.path}
    tls = [word for name, path in files.items() for word in (f"--tls-{name}-file", str(path))]
    return start_redis(yard, "--port", "0", "--tls-port", "PORT", *tls, *options, server=server)


def _speaks_tls(server: str) -> bool:
    # A server without it does not know the option's value; one with it misses the certificate.
    words = [server, "--port", "0", "--tls-port", "1", "--tls-cert-file", os.devnull]
    said = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    return "tls-key-file" in said.stdout


@dataclass
class Group:
    """A master and a replica, and three Sentinels of which two decide."""

    servers: list[Server]
    sentinels: list[Server]

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        return f"sentinel://{hosts}/0?master={MASTER}"

    @property
    def master(self) -> Server:
        """The server that the Sentinels name; raises `MasterNotFoundError` while there is none."""
        untyped: Any = Sentinel
        hosts = [(LOOPBACK, sentinel.port) for sentinel in self.sentinels]
        once = {"socket_timeout": 2, "retry": Retry(NoBackoff(), 0)}
        with untyped(hosts, sentinel_kwargs=once) as asked:
            _, port = asked.discover_master(MASTER)
        return next(server for server in self.servers if server.port == port)

    def has_master_other_than(self, former: Server) -> bool:
        try:
            return self.master is not former
        except MasterNotFoundError:
            return False


def start_group(yard: YardProcesses) -> Group:
    """Start a group in which a master that is silent for a second is replaced."""
    master = start_redis(yard)
    replica = start_redis(yard, "--replicaof", f"{LOOPBACK} {master.port}", "--repl-diskless-sync-delay", "0")
    sentinels = [_start_sentinel(yard, master.port) for _ in range(3)]
    group = Group([master, replica], sentinels)
    wait_until(lambda: _knows_the_others(group), 30, "the Sentinels to know each other and the replica")
    return group


def _start_sentinel(yard: YardProcesses, master_port: int) -> Server:
    port = free_port()
    file = yard.home / f"sentinel-{port}.conf"
    file.write_text(
        f"port {port}\nbind {LOOPBACK}\ndir {yard.home}\n"
        f"sentinel monitor {MASTER} {LOOPBACK} {master_port} 2\n"
        f"sentinel down-after-milliseconds {MASTER} 1000\n"
        f"sentinel failover-timeout {MASTER} 1000\n"
    )
    program = yard.start_command("sentinel", find_server(), str(file), "--sentinel")
    wait_until(lambda: answers(port), 20, "a Sentinel to answer")
    return Server(program, port)


def _knows_the_others(group: Group) -> bool:
    def state(sentinel: Server) -> tuple[int, int]:
        said: Any = sentinel.client.sentinel_master(MASTER)
        return said["num-other-sentinels"], said["num-slaves"]

    return all(state(sentinel) == (2, 1) for sentinel in group.sentinels)
