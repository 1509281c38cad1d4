"""How a worker stops: it finishes what it can within `JOBYARD_WORKER__GRACE`, and hands back the rest.

SIGTERM and Ctrl-C make Celery take no further messages and wait for what runs. When the grace is over, this
makes every job that still runs stop and stand in its queue again, uncounted. Should the worker not be gone
soon after (a broker that is silent can hold it), it ends itself: what is lost by that the keeper finds.
"""

import os
import signal
import threading
from typing import Any, Final

import structlog
from celery import bootsteps
from celery.signals import worker_shutting_down

from jobyard.jobs.ledger.leases import get_leases
from jobyard.settings import get_settings
from jobyard.worker.prefork_child import HAND_BACK_SIGNAL

log = structlog.get_logger()

# After the grace: time to clean up, to write down what was handed back, and to say goodbye to the broker.
LAST_SECONDS: Final = 5.0

_worker: Any = None


class StoppingStep(bootsteps.Step):
    """Remembers the worker, whose children have to be told."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        global _worker
        _worker = worker


@worker_shutting_down.connect
def _begin_to_stop(**_: Any) -> None:
    # Called inside a signal handler: the rest is for a thread.
    threading.Thread(target=_stop_in_time, name="stopping", daemon=True).start()


def _stop_in_time() -> None:
    clock = threading.Event()
    grace = get_settings().worker.grace.total_seconds()
    clock.wait(grace)
    log.warning("still at work after the grace, handing back", grace_seconds=grace)
    get_leases().hand_back_all()
    _tell_children(HAND_BACK_SIGNAL)
    clock.wait(LAST_SECONDS)
    log.error("still not stopped, ending at once")
    _tell_children(signal.SIGKILL)
    os._exit(1)


def _tell_children(what: signal.Signals) -> None:
    for process_id in _child_ids():
        try:
            os.kill(process_id, what)
        except ProcessLookupError:
            continue


def _child_ids() -> list[int]:
    pool = getattr(getattr(_worker, "pool", None), "_pool", None)  # billiard's, where the pool is prefork
    return [child.pid for child in getattr(pool, "_pool", ())]
