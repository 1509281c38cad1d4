"""What Celery's result of a running job is: what the task has said with `update_state`, or who runs it."""

from typing import Any

from celery import states
from pydantic_core import from_json

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.job import Job
from jobyard.jobs.reading.job_queries import get_reported_state


def running_state(database: LedgerDatabase, job: Job) -> tuple[str, Any]:
    """Return the word for a running job's state, and what goes with it."""
    reported = get_reported_state(database, job)
    if reported is not None:
        return reported.state or states.STARTED, from_json(reported.meta)
    hostname, _, pid = (job.worker or "").rpartition("/")
    # As in Celery with `track_started`.
    return states.STARTED, {"pid": int(pid) if pid.isdigit() else None, "hostname": hostname}
