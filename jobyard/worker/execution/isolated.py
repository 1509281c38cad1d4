"""An attempt in a process of its own, for a job that may have taken its workers down.

When a worker is lost, every job that it ran is a suspect, and only one of them may be guilty. So the last
time that a job may be lost it runs alone (`python -m jobyard.worker.execution.isolated`): then the guilty one
ends nobody but itself, and an innocent one simply ends.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Failure, Outcome
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.settings import get_settings

if TYPE_CHECKING:
    from jobyard.tasks.task import AnyTask

ROOT: Final = Path(__file__).parents[3]
POLL_SECONDS: Final = 0.05
# Each is a Python with every task in it.
MOST_AT_ONCE: Final = 2
# To import every task, beside others that do.
LONGEST_START_SECONDS: Final = 60.0
FOR_EVER: Final = timedelta(days=3650).total_seconds()
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

_JOB: Final = TypeAdapter(ClaimedJob)
_OUTCOME: Final = TypeAdapter[Any](Outcome)
_room = threading.BoundedSemaphore(MOST_AT_ONCE)


def end_with_parent() -> None:
    """Have this process killed when the one that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def is_suspect(job: ClaimedJob) -> bool:
    """Tell whether the job is dead when its worker is lost once more."""
    return 0 < job.lost == get_settings().keeper.max_lost - 1


def attempt_alone(task: "AnyTask", job: ClaimedJob) -> Outcome:
    """Run one attempt to its end in a process of its own; when that is lost, so is the job, for good."""
    while not _room.acquire(timeout=POLL_SECONDS):
        continue  # in little pieces, so that it can be interrupted
    try:
        with TemporaryDirectory(prefix="jobyard-alone-") as folder:
            return _run(task, job, Path(folder))
    finally:
        _room.release()


def _run(task: "AnyTask", job: ClaimedJob, folder: Path) -> Outcome:
    (folder / "job").write_bytes(_JOB.dump_json(job))
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "jobyard.worker.execution.isolated", str(folder)],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # a signal to its group is for itself alone
    )
    # It keeps the task's limits by itself, unless it hangs in a way that stops even that.
    until = monotonic() + (task.hard_limit + LONGEST_START_SECONDS if task.hard_limit else FOR_EVER)
    try:
        while process.poll() is None and monotonic() < until:
            sleep(POLL_SECONDS)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    try:
        outcome: Outcome = _OUTCOME.validate_json((folder / "outcome").read_bytes())
    except FileNotFoundError:
        return _lost(job, process.returncode)
    return outcome


def _lost(job: ClaimedJob, code: int) -> Failed:
    end = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    words = f"the job ended the process that it ran in alone ({end}), after {job.lost} lost workers"
    return Failed(
        job.id, job.attempt, Failure(Cause.LOST_WORKER, "WorkerLost", words), None, counts=False, is_lost=True
    )


def main(folder: Path) -> None:
    """Run the job that stands in a folder, and write down there how it ended."""
    from jobyard.jobs.ledger.leases import Lease
    from jobyard.tasks.registry import find_task
    from jobyard.worker.execution.supervisor import run_attempt

    end_with_parent()
    set_up_logging(get_settings().log)
    job = _JOB.validate_json((folder / "job").read_bytes())
    task = find_task(job.task)
    # The worker holds the lease, and ends this process when it loses it.
    outcome = run_attempt(task, job, Lease(job, FOR_EVER, monotonic()))
    (folder / "part").write_bytes(_OUTCOME.dump_json(outcome))
    (folder / "part").rename(folder / "outcome")
    sys.stdout.flush()
    os._exit(0)  # whatever threads the task has left


if __name__ == "__main__":
    main(Path(sys.argv[1]))
