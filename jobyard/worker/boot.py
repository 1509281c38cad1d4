"""Celery imports this module in every worker: it adds the keeper, events, stopping and the tasks' body."""

import os
import sys
from contextlib import suppress
from typing import Any, Final

import structlog
from celery import bootsteps

from jobyard.broker.celery_app import app
from jobyard.broker.checks.broker import broker_fault, exit_if_misconfigured, separate_redis_fault
from jobyard.broker.checks.eager import eager_fault
from jobyard.broker.malformed_messages import refuse_compressed
from jobyard.broker.receivers import check_receivers
from jobyard.broker.redis.eviction import eviction_warning
from jobyard.jobs.database.registered_processes import register_process
from jobyard.jobs.database.schema_version import wait_until_migrated
from jobyard.jobs.errors import JobyardError, LedgerUnavailableError
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.declared_queues import declare_queues
from jobyard.jobs.reading.living_workers import Announcement, announce, withdraw
from jobyard.settings import get_settings
from jobyard.settings.application import application_source
from jobyard.settings.garbage_collection import freeze_objects
from jobyard.settings.processes import raise_descriptor_limit
from jobyard.tasks.coroutines import use_runner
from jobyard.tasks.queues import declared_queues
from jobyard.tasks.registry import declare_all
from jobyard.tasks.task import Task
from jobyard.worker import control_commands, prefork_child, served_queues
from jobyard.worker.bridge.thread import BridgeStep
from jobyard.worker.execution.event_loop import run_coroutine
from jobyard.worker.external_answers import AnswersStep
from jobyard.worker.flower_events import GroupedEvents
from jobyard.worker.keeper_thread import KeeperThread
from jobyard.worker.message_request import REQUEST_CLASS, send_no_signals_about_messages
from jobyard.worker.message_tracer import MessageTracer
from jobyard.worker.stopping import StoppingStep

# These modules are imported because they connect signals and register commands.
__all__ = [
    "KeeperStep",
    "StoppingStep",
    "control_commands",
    "prefork_child",
    "served_queues",
]

log = structlog.get_logger()

ANNOUNCE_EVERY_PASSES: Final = 5
# An hour, at a keeper's usual interval.
DECLARE_EVERY_PASSES: Final = 3600


class KeeperStep(bootsteps.StartStopStep):
    """Runs the keeper in the worker's main process, and announces the worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        exit_if_misconfigured(eager_fault(get_settings()))
        raise_descriptor_limit()
        self._is_announced = self._has_warned = False
        try:
            check_receivers()
            wait_until_migrated(get_ledger().database)
            declare_all(get_ledger().database)
            register_process(get_ledger().database.url)
        except JobyardError as error:
            sys.exit(str(error))
        log.info("application", serves=application_source())
        settings = get_settings()
        exit_if_misconfigured(broker_fault(settings), separate_redis_fault(settings))
        if warning := eviction_warning(settings):
            log.warning("broker", warning=warning)
        # Before the pool forks, so that its children share these objects with this process.
        freeze_objects()

    def start(self, worker: Any) -> None:
        def announce_sometimes(pass_number: int) -> None:
            if pass_number % ANNOUNCE_EVERY_PASSES == 0:
                self._announce(worker)
            if pass_number % DECLARE_EVERY_PASSES == DECLARE_EVERY_PASSES - 1:
                declare_queues(get_ledger().database, declared_queues())

        freeze_objects()
        self._keeper = KeeperThread(announce_sometimes)
        self._keeper.start()

    def _announce(self, worker: Any) -> None:
        is_new = announce(get_ledger().database, _announcement(worker))
        if is_new and self._is_announced and not self._has_warned:
            log.warning("another worker has this one's name: give each its own with -n", name=worker.hostname)
            self._has_warned = True
        self._is_announced = True

    def stop(self, worker: Any) -> None:
        self._keeper.stop()
        with suppress(LedgerUnavailableError):  # where it is forgotten after a while
            withdraw(get_ledger().database, _announcement(worker))


def _announcement(worker: Any) -> Announcement:
    return Announcement(
        name=worker.hostname,
        pid=os.getpid(),
        pool=worker.pool_cls.__module__.rpartition(".")[2],
        concurrency=worker.pool.num_processes,  # `pool_grow` may have changed it
        queues=",".join(sorted(served_queues.served_queues(worker.app.amqp.queues.consume_from))),
    )


Task.__trace__ = MessageTracer()
Task.Request = REQUEST_CLASS
send_no_signals_about_messages()
use_runner(run_coroutine)
refuse_compressed()
app.steps["worker"].update({KeeperStep, StoppingStep})
app.steps["consumer"].add(GroupedEvents)
if get_settings().celery.queues:
    app.steps["worker"].add(BridgeStep)
if get_settings().celery.result_backend:
    app.steps["worker"].add(AnswersStep)
