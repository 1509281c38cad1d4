"""What Celery loads into every worker: keeper, announcement, events, and how it stops."""

import os
import sys
from typing import Any

import structlog
from celery import bootsteps

from config.checks.broker import broker_fault, end_where_wrong, redis_beside_fault
from config.collector import spare_the_collector
from config.settings import get_settings
from jobs.errors import LedgerUnavailableError
from jobs.ledger import get_ledger
from jobs.migrated import check_is_migrated
from jobs.workers import Announcement, announce
from tasks.app import app
from tasks.eviction import eviction_warning
from tasks.registry import declare_tasks
from worker import bands, children, orders, strangers
from worker.events import EventsInGroups
from worker.keeper import KeeperThread
from worker.stopping import StoppingStep

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
