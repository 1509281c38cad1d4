"""Private Redis servers for a yard: with options of a test's own, or one that speaks TLS alone."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property

import pytest
from redis import Redis

from jobyard.local.valkey import find_server
from tests.support.certificates import Certificate
from tests.support.processes import Program, YardProcesses, answers, free_port
from tests.support.waiting import wait_until

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


def start_redis(yard: YardProcesses, *options: str) -> Server:
    """Start a server that keeps nothing on disk, with these options besides."""
    port = free_port()
    return _started(yard, find_server(), port, "--port", str(port), *options)


def start_tls_redis(yard: YardProcesses, certificate: Certificate, *options: str) -> Server:
    """Start one that speaks TLS alone, and wants a certificate of its callers."""
    port = free_port()
    files = (word for name, path in tls_files(certificate).items() for word in (f"--{name}", path))
    tls = ("--port", "0", "--tls-port", str(port), *files)
    return _started(yard, find_tls_server(), port, *tls, *options)


def tls_files(certificate: Certificate) -> dict[str, str]:
    path, key = str(certificate.path), str(certificate.key)
    return {"tls-cert-file": path, "tls-key-file": key, "tls-ca-cert-file": path}


def find_tls_server() -> str:
    """Return a `redis-server` that speaks TLS; skips the test on a laptop without one, an error in CI."""
    server = shutil.which("redis-server")
    if server and _speaks_tls(server):
        return server
    if os.environ.get("CI"):
        pytest.fail("there is no redis-server that speaks TLS")
    pytest.skip("there is no redis-server that speaks TLS")


def _speaks_tls(server: str) -> bool:
    # One that does misses the key; one that does not says that it does not know the option's value.
    words = [server, "--port", "0", "--tls-port", "1", "--tls-cert-file", os.devnull]
    said = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    return "tls-key-file" in said.stdout


def _started(yard: YardProcesses, server: str, port: int, *options: str) -> Server:
    folder = yard.home / f"redis-{port}"
    folder.mkdir()
    usual = ("--bind", LOOPBACK, "--dir", str(folder), "--save", "", "--appendonly", "no")
    program = yard.start_command("redis", server, *usual, *options)
    wait_until(lambda: answers(port) or program.process.poll() is not None, 20, "a Redis to answer")
    assert program.process.poll() is None, program.output()
    return Server(program, port)
