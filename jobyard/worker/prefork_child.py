"""Prepares each child process of the prefork pool: its memory limit, its signals, and when it ends."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
from typing import Any

from celery.signals import worker_process_init

from jobyard.jobs.database.registered_processes import register_process
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.leases import get_leases
from jobyard.settings import get_settings
from jobyard.settings.garbage_collection import freeze_objects
from jobyard.settings.processes import end_with_parent
from jobyard.worker.execution.attempt_thread import threads_left_behind
from jobyard.worker.malloc import keep_freed_memory
from jobyard.worker.message_tracer import after_message

# With this signal the worker makes its children hand back the jobs that they run.
HAND_BACK_SIGNAL = signal.SIGUSR2
# A child keeps one part in this many of its memory limit between two jobs: 128 MiB by default.
KEPT_FRACTION = 16


@worker_process_init.connect
def _limit_memory(**_: Any) -> None:
    # A child that allocates more gets a MemoryError, which is a failed attempt; without the limit
    # the kernel might kill any process.
    if sys.platform == "linux":
        limit = get_settings().worker.child_memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
        keep_freed_memory(limit // KEPT_FRACTION)


@worker_process_init.connect
def _leave_process_group(**_: Any) -> None:
    # A signal to the whole group (a supervisor's SIGTERM, a terminal's Ctrl-C) is for the worker, which lets
    # its children finish; in a process group of its own a child does not get it. It ends with its worker.
    if sys.platform == "linux":
        os.setpgid(0, 0)
    end_with_parent()


@worker_process_init.connect
def _allow_child_processes(**_: Any) -> None:
    # billiard marks its children as daemons, which multiprocessing lets have no children of their own, and
    # gives them a key that cannot be handed to a spawned child.
    config: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    config["daemon"] = False
    config["authkey"] = multiprocessing.process.AuthenticationString(config["authkey"])  # type: ignore[attr-defined]


@worker_process_init.connect
def _register(**_: Any) -> None:
    register_process(get_ledger().database.url)


@worker_process_init.connect
def _freeze_objects(**_: Any) -> None:
    freeze_objects()


@worker_process_init.connect
def _handle_hand_back_signal(**_: Any) -> None:
    # On another thread: the handler may interrupt this thread while it holds a lock that handing back needs.
    signal.signal(
        HAND_BACK_SIGNAL, lambda *_: threading.Thread(target=get_leases().hand_back_all, daemon=True).start()
    )


@worker_process_init.connect
def _exit_after_hung_threads(**_: Any) -> None:
    after_message.append(_exit_if_a_thread_was_left_behind)


def _exit_if_a_thread_was_left_behind() -> None:
    # A hung thread cannot be stopped, but its process can be replaced. The ledger has the outcome already;
    # Celery reports a lost child and starts a new one.
    if threads_left_behind():
        os._exit(1)
