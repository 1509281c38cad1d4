"""An attempt in a process of its own, for a job that may have taken its workers down.

When a worker is lost, any of the jobs that it ran may be the cause. So the last time that a job may be lost
it is quarantined: it runs in a process of its own (`jobyard/worker/execution/isolated_main.py`). A job that
was the cause ends only that process, and any other simply ends.
"""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any, Final

from pydantic import TypeAdapter

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Failure, Outcome
from jobyard.settings import get_settings
from jobyard.tasks.definition import AnyDefinition

POLL_SECONDS: Final = 0.05
# Each is a Python with every task in it.
MOST_AT_ONCE: Final = 2
# To import every task, beside others that do.
LONGEST_START_SECONDS: Final = 60.0
FOREVER_SECONDS: Final = timedelta(days=3650).total_seconds()

JOB: Final = TypeAdapter(ClaimedJob)
OUTCOME: Final = TypeAdapter[Any](Outcome)
_room = threading.BoundedSemaphore(MOST_AT_ONCE)


def is_quarantined(job: ClaimedJob) -> bool:
    """Tell whether the job is dead when its worker is lost once more."""
    return 0 < job.lost == get_settings().keeper.max_lost - 1


def attempt_isolated(task: AnyDefinition, job: ClaimedJob) -> Outcome:
    """Run one attempt to its end in a process of its own; when that is lost, so is the job, for good."""
    while not _room.acquire(timeout=POLL_SECONDS):
        continue  # in little pieces, so that it can be interrupted
    try:
        with TemporaryDirectory(prefix="jobyard-isolated-") as folder:
            return _run(task, job, Path(folder))
    finally:
        _room.release()


def _run(task: AnyDefinition, job: ClaimedJob, folder: Path) -> Outcome:
    (folder / "job").write_bytes(JOB.dump_json(job))
    process = subprocess.Popen(
        [sys.executable, "-m", "jobyard.worker.execution.isolated_main", str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # what this process finds, it finds too
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # a signal to its group is for itself alone
    )
    # It keeps the task's limits by itself, unless it hangs in a way that stops even that.
    until = monotonic() + (task.hard_limit + LONGEST_START_SECONDS if task.hard_limit else FOREVER_SECONDS)
    try:
        while process.poll() is None and monotonic() < until:
            sleep(POLL_SECONDS)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    try:
        outcome: Outcome = OUTCOME.validate_json((folder / "outcome").read_bytes())
    except FileNotFoundError:
        return _lost(job, process.returncode)
    return outcome


def _lost(job: ClaimedJob, code: int) -> Failed:
    end = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    words = f"the job ended the process that it ran in, isolated ({end}), after {job.lost} lost workers"
    return Failed(
        job.id, job.attempt, Failure(Cause.LOST_WORKER, "WorkerLost", words), None, counts=False, is_lost=True
    )
