"""`jobyard worker` in Celery's words: the pool of a kind, and every queue of it."""

import sys
from collections.abc import Sequence
from typing import Final

from jobyard.jobs.errors import JobyardError
from jobyard.settings import SettingsError, get_settings
from jobyard.settings.queues import QueueKind

NAME_OF_KIND: Final = {QueueKind.THREADS: "io", QueueKind.PREFORK: "cpu"}


def worker_arguments(
    kind_name: str, queues: str | None, concurrency: int | None, hostname: str | None, rest: Sequence[str]
) -> list[str]:
    """Return the arguments of `celery`; ends the program where there is nothing to serve."""
    kind = QueueKind(kind_name)
    try:
        settings = get_settings()
        served = queues or ",".join(_queues_of(kind))
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    if not served:
        sys.exit(
            f"no queue is served by {kind} workers: declare one, Queue(NAME, kind=QueueKind.{kind.name}) or "
            f"JOBYARD_QUEUES=NAME={kind}, or name one with -Q"
        )
    slots = settings.worker.threads if kind is QueueKind.THREADS else settings.worker.processes
    which = ["-n", hostname or f"{NAME_OF_KIND[kind]}@%h", "-Q", served]
    pool = ["-P", kind.value, "-c", str(concurrency or slots)]
    return ["worker", *which, *pool, "--without-gossip", "--without-mingle", *rest]


def _queues_of(kind: QueueKind) -> list[str]:
    # Only now: the tasks, some of which declare queues, cannot be imported without right settings.
    from jobyard.tasks.queues import declared_queues
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    return [queue.name for queue in declared_queues().values() if queue.kind is kind]
