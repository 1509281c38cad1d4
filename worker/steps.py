"""The worker's boot steps: the keeper's passes, the worker's announcement, and limits on its children."""

import os
import resource
import sys
import threading
from typing import Any

import structlog
from celery import bootsteps
from celery.signals import worker_process_init

from config.settings import get_settings
from jobs.errors import LedgerUnavailableError
from jobs.keeper import Keeper
from jobs.ledger import get_ledger
from jobs.migrate import check_is_migrated
from jobs.workers import Announcement, announce
from tasks.app import app
from tasks.publisher import get_publisher

log = structlog.get_logger()

ANNOUNCE_EVERY_PASSES = 5


class KeeperStep(bootsteps.StartStopStep):
    """Runs the keeper on a thread of the worker's main process, a pass every `JOBYARD_KEEPER__INTERVAL`."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        check_is_migrated(get_ledger().engine)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: Any) -> None:
        self._thread = threading.Thread(target=self._run, args=(worker,), name="keeper", daemon=True)
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self, worker: Any) -> None:
        settings = get_settings()
        keeper = Keeper(get_ledger().engine, get_publisher(), settings)
        passes = 0
        while not self._stopping.wait(settings.keeper.interval.total_seconds() if passes else 0):
            self._pass(keeper, worker, with_announcement=passes % ANNOUNCE_EVERY_PASSES == 0)
            passes += 1

    def _pass(self, keeper: Keeper, worker: Any, *, with_announcement: bool) -> None:
        try:
            if with_announcement:
                announce(get_ledger().engine, _announcement(worker))
            keeper.pass_once()
        except LedgerUnavailableError as error:
            log.warning("keeper's pass skipped", reason=str(error))
        except Exception:
            # A keeper that ends in silence would be the one fault that nobody puts right.
            log.exception("keeper's pass failed, the next one follows")


def _announcement(worker: Any) -> Announcement:
    return Announcement(
        name=worker.hostname,
        pid=os.getpid(),
        pool=worker.pool_cls.__module__.rpartition(".")[2],
        concurrency=worker.concurrency,
        queues=",".join(sorted(worker.app.amqp.queues.consume_from)),
    )


@worker_process_init.connect
def _limit_memory(**_: Any) -> None:
    # A child that wants more gets a MemoryError, which is a failed attempt; without the limit
    # the kernel would choose whom to kill.
    if sys.platform == "linux":
        limit = get_settings().worker.child_memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


app.steps["worker"].add(KeeperStep)
