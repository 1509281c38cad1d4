"""Private servers that Sentinels watch: a group that can fail over, and a master behind TLS and passwords."""

from dataclasses import dataclass
from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from jobyard.local.valkey import find_server
from tests.support.certificates import Certificate
from tests.support.processes import YardProcesses, answers, free_port
from tests.support.redis_servers import (
    LOOPBACK,
    Server,
    find_tls_server,
    start_redis,
    start_tls_redis,
    tls_files,
)
from tests.support.waiting import wait_until

MASTER = "yard"


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
    watching = [
        f"sentinel monitor {MASTER} {LOOPBACK} {master.port} 2",
        f"sentinel down-after-milliseconds {MASTER} 1000",
        f"sentinel failover-timeout {MASTER} 1000",
    ]
    group = Group([master, replica], [_start_sentinel(yard, find_server(), watching) for _ in range(3)])
    wait_until(lambda: _knows_the_others(group), 30, "the Sentinels to know each other and the replica")
    return group


def start_guarded_master(yard: YardProcesses, certificate: Certificate) -> str:
    """Start a master and a Sentinel that both speak TLS alone and want a password each; return the URL."""
    master = start_tls_redis(yard, certificate, "--requirepass", "server-word")
    files = tls_files(certificate)
    sentinel = _start_sentinel(
        yard,
        find_tls_server(),
        [
            *(f"{name} {path}" for name, path in files.items()),
            "tls-replication yes",
            "requirepass sentinel-word",
            f"sentinel monitor {MASTER} {LOOPBACK} {master.port} 1",
            f"sentinel auth-pass {MASTER} server-word",
        ],
        port_option="tls-port",
    )
    known = f"ssl_ca_certs={certificate.path}&ssl_certfile={certificate.path}&ssl_keyfile={certificate.key}"
    asked = f"master={MASTER}&sentinel_password=sentinel-word&tls=true&{known}"
    return f"sentinel://:server-word@{LOOPBACK}:{sentinel.port}/1?{asked}"


def _start_sentinel(yard: YardProcesses, server: str, lines: list[str], port_option: str = "port") -> Server:
    port = free_port()
    plain = [] if port_option == "port" else ["port 0"]
    file = yard.home / f"sentinel-{port}.conf"
    file.write_text(
        "\n".join([*plain, f"{port_option} {port}", f"bind {LOOPBACK}", f"dir {yard.home}", *lines])
    )
    program = yard.start_command("sentinel", server, str(file), "--sentinel")
    wait_until(lambda: answers(port) or program.process.poll() is not None, 20, "a Sentinel to answer")
    assert program.process.poll() is None, program.output()
    return Server(program, port)


def _knows_the_others(group: Group) -> bool:
    def state(sentinel: Server) -> tuple[int, int]:
        said: Any = sentinel.client.sentinel_master(MASTER)
        return said["num-other-sentinels"], said["num-slaves"]

    return all(state(sentinel) == (2, 1) for sentinel in group.sentinels)
