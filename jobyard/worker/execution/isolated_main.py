"""The process of one isolated attempt: `python -m jobyard.worker.execution.isolated_main FOLDER`.

The folder holds the job. This process writes the outcome there, and the worker reads it (`isolated.py`).
"""

import os
import sys
from pathlib import Path

from celery.signals import worker_process_init

from jobyard.broker.celery_app import app
from jobyard.integrations.django import install_in_isolated_process
from jobyard.jobs.clock import monotonic
from jobyard.jobs.ledger.leases import Lease
from jobyard.settings import get_settings
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.processes import end_with_parent
from jobyard.tasks.coroutines import use_runner
from jobyard.tasks.registry import find_task
from jobyard.worker.execution.event_loop import run_coroutine
from jobyard.worker.execution.isolated import FOREVER_SECONDS, JOB, OUTCOME
from jobyard.worker.execution.supervisor import run_attempt


def main(folder: Path) -> None:
    """Run the job in a folder, and write its outcome there."""
    end_with_parent()
    set_up_logging(get_settings().log)
    use_runner(run_coroutine)
    job = JOB.validate_json((folder / "job").read_bytes())
    task = find_task(job.task)
    install_in_isolated_process(app)
    # As a pool's child does: receivers open here what each process needs for itself.
    worker_process_init.send(sender=None)
    # The worker holds the job's lease, and kills this process if it loses the lease.
    outcome = run_attempt(task, job, Lease(job, FOREVER_SECONDS, monotonic()))
    (folder / "part").write_bytes(OUTCOME.dump_json(outcome))
    (folder / "part").rename(folder / "outcome")
    sys.stdout.flush()
    os._exit(0)  # do not wait for threads that the task has left


if __name__ == "__main__":
    main(Path(sys.argv[1]))
