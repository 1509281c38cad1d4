"""What a child process of the prefork pool is told at its birth: how much memory it may have, when to end."""

import os
import resource
import signal
import sys
import threading
from typing import Any

from celery.signals import task_postrun, worker_process_init

from jobyard.jobs.ledger.leases import get_leases
from jobyard.settings import get_settings
from jobyard.settings.garbage_collection import freeze_objects
from jobyard.settings.processes import end_with_parent
from jobyard.worker.execution.attempt_thread import threads_left_behind
from jobyard.worker.malloc import keep_freed_memory

# By which the worker asks its children to hand back what they run.
HAND_BACK_SIGNAL = signal.SIGUSR2
# Of the memory that a child may have, what it keeps between two jobs: 128 MiB by default.
KEPT_PART = 16


@worker_process_init.connect
def _limit_memory(**_: Any) -> None:
    # A child that wants more gets a MemoryError, which is a failed attempt; without the limit
    # the kernel would choose whom to kill.
    if sys.platform == "linux":
        limit = get_settings().worker.child_memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
        keep_freed_memory(limit // KEPT_PART)


@worker_process_init.connect
def _be_told_by_the_worker_alone(**_: Any) -> None:
    # A signal to the whole group (a supervisor's SIGTERM, a terminal's Ctrl-C) is for the worker, which lets
    # its children finish; as a group of its own a child does not hear it. It ends when its worker does.
    if sys.platform == "linux":
        os.setpgid(0, 0)
    end_with_parent()


@worker_process_init.connect
def _collect_less(**_: Any) -> None:
    freeze_objects()


@worker_process_init.connect
def _listen_to_the_worker(**_: Any) -> None:
    # On a thread of its own: the handler may come while this very thread holds a lock that it would need.
    signal.signal(
        HAND_BACK_SIGNAL, lambda *_: threading.Thread(target=get_leases().hand_back_all, daemon=True).start()
    )


@worker_process_init.connect
def _end_with_a_thread_that_hangs(**_: Any) -> None:
    task_postrun.connect(_end_if_a_thread_was_left_behind, weak=False)


def _end_if_a_thread_was_left_behind(**_: Any) -> None:
    # A process can be replaced, and a thread cannot be stopped: what hangs ends with the child. The ledger
    # has the outcome already; Celery reports a lost child and starts a new one.
    if threads_left_behind():
        os._exit(1)
