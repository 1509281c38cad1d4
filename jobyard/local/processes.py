"""The processes of an installation on one machine: the name, command and port of each."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from jobyard.broker.broadcast import no_broadcast_reason
from jobyard.local.ports import Listener
from jobyard.settings import ENV_PREFIX, Settings
from jobyard.settings.extras import missing_extras_fault
from jobyard.settings.queues import QueueKind
from jobyard.tasks.queues import declared_queues

BROKER: Final = "valkey"
# The names of the workers in logs and in the documentation.
WORKER_OF_KIND: Final = {QueueKind.THREADS: "worker-io", QueueKind.PREFORK: "worker-cpu"}


@dataclass(frozen=True)
class LocalProcess:
    """A process that `jobyard run` starts, and its port, if it has one.

    A process that `reloads` is started again after a file of the application has changed.
    """

    name: str
    command: Sequence[str]
    listener: Listener | None = None
    reloads: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]


def local_processes(settings: Settings, additions: Sequence[LocalProcess]) -> list[LocalProcess]:
    """Return every process, in the order of their start, the embedded broker first if there is one."""
    processes = []
    if needs_valkey(settings):
        processes.append(
            LocalProcess(BROKER, python_module("jobyard.local.valkey"), valkey_listener(settings))
        )
    processes += additions
    processes.append(_jobyard("api", "api", listener=_listener("the API", settings.api, "API")))
    kinds = {queue.kind for queue in declared_queues().values()}
    processes += [
        _jobyard(name, "worker", "--kind", kind) for kind, name in WORKER_OF_KIND.items() if kind in kinds
    ]
    processes.append(_jobyard("beat", "beat"))
    if no_flower_reason(settings) is None:
        flower = python_module("jobyard", "flower")
        processes.append(LocalProcess("flower", flower, _listener("Flower", settings.flower, "FLOWER")))
    return processes


def no_flower_reason(settings: Settings) -> str | None:
    """Return why Flower is not started, or None."""
    return no_broadcast_reason(settings.broker_url) or missing_extras_fault("it", ["flower"])


def _jobyard(name: str, *arguments: str, listener: Listener | None = None) -> LocalProcess:
    return LocalProcess(name, python_module("jobyard", *arguments), listener, reloads=True)


def _listener(name: str, section: "object", section_name: str) -> Listener:
    host, port = getattr(section, "host"), getattr(section, "port")  # noqa: B009
    return Listener(name, host, port, f"{ENV_PREFIX}{section_name}__PORT")


def valkey_listener(settings: Settings) -> Listener:
    """Return the address of the embedded Valkey."""
    return Listener("Valkey", "127.0.0.1", settings.valkey.port, f"{ENV_PREFIX}VALKEY__PORT")


def needs_valkey(settings: Settings) -> bool:
    """Tell whether a setting leads to the embedded Valkey."""
    return settings.is_broker_embedded or settings.is_redis_embedded
