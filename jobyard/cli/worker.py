"""Translates `jobyard worker` into Celery's arguments: the pool of a kind, and all queues of that kind."""

import sys
from collections.abc import Sequence
from typing import Final

from jobyard.jobs.errors import JobyardError
from jobyard.settings import Settings, SettingsError, get_settings
from jobyard.settings.queues import QueueKind

NAME_OF_KIND: Final = {QueueKind.THREADS: "io", QueueKind.PREFORK: "cpu"}


def worker_arguments(
    kind_name: str,
    queues: str | None,
    concurrency: int | None,
    hostname: str | None,
    extra_arguments: Sequence[str],
) -> list[str]:
    """Return the arguments of `celery`; ends the program if there is no queue to serve."""
    kind = QueueKind(kind_name)
    try:
        settings = get_settings()
        served = queues or ",".join(_queues_of(kind))
        slots = concurrency or _slots(kind, settings)
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    if not served:
        sys.exit(
            f"no queue is served by {kind} workers: declare one, Queue(NAME, kind=QueueKind.{kind.name}) or "
            f"JOBYARD_QUEUES=NAME={kind}, or name one with -Q"
        )
    node = ["-n", hostname or f"{NAME_OF_KIND[kind]}@%h", "-Q", served]
    pool = ["-P", kind.value, "-c", str(slots)]
    return ["worker", *node, *pool, "--without-gossip", "--without-mingle", *extra_arguments]


def _slots(kind: QueueKind, settings: Settings) -> int:
    # Imported here, because the tasks and the application need valid settings.
    from jobyard.broker.celery_app import app
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    name = "threads" if kind is QueueKind.THREADS else "processes"
    own: int = getattr(settings.worker, name)
    is_set = name in settings.worker.model_fields_set
    of_project: int | None = app.conf.worker_concurrency
    return own if is_set or not of_project else of_project


def _queues_of(kind: QueueKind) -> list[str]:
    # Imported here, because the tasks, some of which declare queues, need valid settings.
    from jobyard.tasks.queues import declared_queues
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    return [queue.name for queue in declared_queues().values() if queue.kind is kind]
