"""Stops a worker: it finishes what it can within `JOBYARD_WORKER__GRACE`, and hands back the other jobs.

SIGTERM and Ctrl-C make Celery take no further messages and wait for running jobs. When the grace is over,
this module stops each running job and puts it back into its queue, without counting the attempt. If the
worker has not ended soon after (a silent broker can block it), it kills itself, and the keeper rescues the
jobs that this loses.
"""

import os
import signal
import threading
from typing import Any, Final

import celery.apps.worker
import structlog
from celery import bootsteps
from celery.signals import worker_shutting_down

from jobyard.jobs.ledger.leases import get_leases
from jobyard.settings import get_settings
from jobyard.worker.prefork_child import HAND_BACK_SIGNAL

log = structlog.get_logger()

# After the grace: time to clean up, to record the jobs handed back, and to disconnect from the broker.
CLEAN_UP_SECONDS: Final = 5.0

_worker: Any = None


def _log_in_thread(message: str, *_: Any) -> None:
    # Called in a signal handler, where this thread may be in the middle of writing a line.
    threading.Thread(target=log.info, args=[message.strip()], name="say", daemon=True).start()


# Celery writes what it does about a signal to the terminal, past the log and its form.
celery.apps.worker.safe_say = _log_in_thread  # type: ignore[attr-defined]


class StoppingStep(bootsteps.Step):
    """Keeps the worker, whose child processes have to be signalled."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        global _worker
        _worker = worker


@worker_shutting_down.connect
def _start_stopping(**_: Any) -> None:
    # Called in a signal handler, so a thread does the work.
    threading.Thread(target=_stop_in_time, name="stopping", daemon=True).start()


def _stop_in_time() -> None:
    clock = threading.Event()
    grace = get_settings().worker.grace.total_seconds()
    clock.wait(grace)
    log.warning("still at work after the grace, handing back", grace_seconds=grace)
    get_leases().hand_back_all()
    _signal_children(HAND_BACK_SIGNAL)
    clock.wait(CLEAN_UP_SECONDS)
    log.error("still not stopped, ending at once")
    _signal_children(signal.SIGKILL)
    os._exit(1)


def _signal_children(signal_number: signal.Signals) -> None:
    for process_id in _child_ids():
        try:
            os.kill(process_id, signal_number)
        except ProcessLookupError:
            continue


def _child_ids() -> list[int]:
    pool = getattr(getattr(_worker, "pool", None), "_pool", None)  # billiard's pool, on prefork only
    return [child.pid for child in getattr(pool, "_pool", ())]
