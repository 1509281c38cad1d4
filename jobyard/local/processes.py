"""The processes of an installation on one machine: what each is called, how it is started, where it
listens."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from jobyard.broker.broadcast import no_events
from jobyard.local.ports import Listener
from jobyard.settings import ENV_PREFIX, Settings
from jobyard.settings.queues import QueueKind
from jobyard.tasks.queues import declared_queues

BROKER: Final = "valkey"
# As they have been called since there were two, in logs and in the documentation.
WORKER_OF_KIND: Final = {QueueKind.THREADS: "worker-io", QueueKind.PREFORK: "worker-cpu"}


@dataclass(frozen=True)
class LocalProcess:
    """A process that `jobyard run` starts, and where it listens, if it does.

    One that `reloads` is started again when a file of the application has changed.
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
    """Return every process, in the order of its start; the broker, where there is an embedded one, is the
    first."""
    found = [LocalProcess(BROKER, python_module("jobyard.local.valkey"), valkey(settings))]
    if not needs_valkey(settings):
        found = []
    found += additions
    found.append(_jobyard("api", "api", listener=_listener("the API", settings.api, "API")))
    kinds = {queue.kind for queue in declared_queues().values()}
    found += [
        _jobyard(name, "worker", "--kind", kind) for kind, name in WORKER_OF_KIND.items() if kind in kinds
    ]
    found.append(_jobyard("beat", "beat"))
    if no_events(settings.broker_url) is None:
        flower = python_module("jobyard", "flower")
        found.append(LocalProcess("flower", flower, _listener("Flower", settings.flower, "FLOWER")))
    return found


def _jobyard(name: str, *arguments: str, listener: Listener | None = None) -> LocalProcess:
    return LocalProcess(name, python_module("jobyard", *arguments), listener, reloads=True)


def _listener(what: str, section: "object", name: str) -> Listener:
    host, port = getattr(section, "host"), getattr(section, "port")  # noqa: B009
    return Listener(what, host, port, f"{ENV_PREFIX}{name}__PORT")


def valkey(settings: Settings) -> Listener:
    """Return where the embedded Valkey listens."""
    return Listener("Valkey", "127.0.0.1", settings.valkey.port, f"{ENV_PREFIX}VALKEY__PORT")


def needs_valkey(settings: Settings) -> bool:
    """Tell whether anything uses the embedded Valkey."""
    return settings.embedded_redis_url in (settings.broker_url, settings.redis_url)
