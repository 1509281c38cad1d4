"""Runs an attempt in a process of its own, for a job that may have killed its workers.

When a worker is lost, any of the jobs that it ran may be the cause. So a job that may be lost only once more
is quarantined: it runs in its own process (`jobyard/worker/execution/isolated_main.py`). The job that was the
cause kills only that process, and any other job ends normally.
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
from jobyard.settings.processes import child_environment
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.registry import known_task
from jobyard.worker.execution.limits import limits_of

POLL_SECONDS: Final = 0.05
# Isolated processes of one worker at once: each is a Python that imports every task.
MOST_AT_ONCE: Final = 2
# The time for such a process to import every task, while others do the same.
LONGEST_START_SECONDS: Final = 60.0
FOREVER_SECONDS: Final = timedelta(days=3650).total_seconds()

JOB: Final = TypeAdapter(ClaimedJob)
OUTCOME: Final = TypeAdapter[Any](Outcome)
_slots = threading.BoundedSemaphore(MOST_AT_ONCE)


def is_quarantined(job: ClaimedJob) -> bool:
    """Tell whether the job would be dead if one more worker were lost with it."""
    if job.lost == 0:
        return False
    task = known_task(job.task)
    return job.lost == (get_settings().keeper.max_lost - 1 if task is None else task.max_losses)


def attempt_isolated(task: AnyDefinition, job: ClaimedJob) -> Outcome:
    """Run one attempt to its end in its own process; the job is dead if that process is lost."""
    while not _slots.acquire(timeout=POLL_SECONDS):
        continue  # with short timeouts, so that this thread can be interrupted
    try:
        with TemporaryDirectory(prefix="jobyard-isolated-") as folder:
            return _run(task, job, Path(folder))
    finally:
        _slots.release()


def _run(task: AnyDefinition, job: ClaimedJob, folder: Path) -> Outcome:
    (folder / "job").write_bytes(JOB.dump_json(job))
    process = subprocess.Popen(
        [sys.executable, "-m", "jobyard.worker.execution.isolated_main", str(folder)],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # so that a signal to its process group reaches only this process
    )
    # The process enforces the job's limits itself, unless even its supervisor hangs.
    deadline = monotonic() + limits_of(task, job).hard + LONGEST_START_SECONDS
    try:
        while process.poll() is None and monotonic() < deadline:
            sleep(POLL_SECONDS)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    try:
        outcome: Outcome = OUTCOME.validate_json((folder / "outcome").read_bytes())
    except FileNotFoundError:
        return _lost_outcome(job, process.returncode)
    return outcome


def _lost_outcome(job: ClaimedJob, code: int) -> Failed:
    end = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    message = f"the job ended the isolated process that it ran in ({end}), after {job.lost} lost workers"
    failure = Failure(Cause.LOST_WORKER, "WorkerLost", message)
    return Failed(job.id, job.attempt, failure, None, counts=False, is_lost=True)
