"""What Celery loads into every worker: keeper, announcement, events, and how it stops."""

import os
import sys
from typing import Any

import structlog
from celery import bootsteps

from jobyard.broker.celery_app import app
from jobyard.broker.checks.broker import broker_fault, end_where_wrong, redis_beside_fault
from jobyard.broker.redis.eviction import eviction_warning
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger.ledger import get_ledger
from jobyard.jobs.reading.workers import Announcement, announce
from jobyard.settings.garbage_collection import spare_the_collector
from jobyard.settings.settings import get_settings
from jobyard.tasks.registry import declare_tasks
from jobyard.worker import both_bands as bands
from jobyard.worker import control_commands as orders
from jobyard.worker import prefork_child as children
from jobyard.worker import unknown_tasks as strangers
from jobyard.worker.flower_events import EventsInGroups
from jobyard.worker.keeper_thread import KeeperThread
from jobyard.worker.stopping import StoppingStep

__all__ = ["KeeperStep", "StoppingStep", "bands", "children", "orders", "strangers"]

log = structlog.get_logger()

ANNOUNCE_EVERY_PASSES = 5


class KeeperStep(bootsteps.StartStopStep):
    """Runs the keeper in the worker's main process, and announces the worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        try:
            check_is_migrated(get_ledger().engine)
            declare_tasks(get_ledger().engine)
        except LedgerUnavailableError as error:
            sys.exit(str(error))
        settings = get_settings()
        end_where_wrong(broker_fault(settings), redis_beside_fault(settings))
        if warning := eviction_warning(settings):
            log.warning("broker", warning=warning)

    def start(self, worker: Any) -> None:
        def announce_at_times(number: int) -> None:
            if number % ANNOUNCE_EVERY_PASSES == 0:
                announce(get_ledger().engine, _announcement(worker))

        spare_the_collector()
        self._keeper = KeeperThread(announce_at_times)
        self._keeper.start()

    def stop(self, worker: Any) -> None:
        self._keeper.stop()


def _announcement(worker: Any) -> Announcement:
    return Announcement(
        name=worker.hostname,
        pid=os.getpid(),
        pool=worker.pool_cls.__module__.rpartition(".")[2],
        concurrency=worker.pool.num_processes,  # which may have been told to grow
        queues=",".join(sorted(bands.served_queues(worker.app.amqp.queues.consume_from))),
    )


app.steps["worker"].update({KeeperStep, StoppingStep})
app.steps["consumer"].add(EventsInGroups)
