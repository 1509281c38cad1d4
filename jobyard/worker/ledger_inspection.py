"""What `celery inspect` and Flower show of a worker's jobs, read from the ledger, in Celery's form."""

import json
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import job as job_table
from jobyard.jobs.files.claim_checks import is_check
from jobyard.jobs.job import Job, Status
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import load
from jobyard.jobs.reading.living_workers import list_workers
from jobyard.jobs.reading.search import list_jobs

# The most jobs in one answer, which is one message of the broker.
MOST_JOBS: Final = 500
# A longer payload is not shown; with the most jobs an answer has at most a megabyte.
LONGEST_PAYLOAD: Final = 2_000


def active(database: LedgerDatabase, worker: str) -> list[dict[str, Any]]:
    """Return the jobs that a worker runs."""
    running = JobFilter(status=[Status.RUNNING], worker=worker)
    return [_info(job, worker) for job in list_jobs(database, running, MOST_JOBS).jobs]


def reserved(database: LedgerDatabase, worker: str, fetched: Collection[str]) -> list[dict[str, Any]]:
    """Return those of the jobs whose messages a worker has fetched that are still queued."""
    ids = list(fetched)[:MOST_JOBS]
    queued = select(job_table).where(job_table.c.id.in_(ids), job_table.c.status == Status.QUEUED)
    with database.reading() as connection:
        return [_info(job, worker) for job in load(connection, queued)]


def scheduled(database: LedgerDatabase, worker: str, live_for: timedelta) -> list[dict[str, Any]]:
    """Return the jobs that wait for their time, or for another attempt.

    No worker has them. The first, by name, of the live workers that serve a queue shows those of that queue,
    so that the answers of all workers together name each job once.
    """
    jobs = (
        job
        for queue in _queues_shown_by(database, worker, live_for)
        for status in (Status.SCHEDULED, Status.RETRYING)
        for job in list_jobs(database, JobFilter(status=[status], queue=queue), MOST_JOBS).jobs
    )
    first = sorted(jobs, key=lambda job: job.run_at)[:MOST_JOBS]
    return [
        {"eta": job.run_at.isoformat(), "priority": job.priority, "request": _info(job, worker)}
        for job in first
    ]


def _queues_shown_by(database: LedgerDatabase, worker: str, live_for: timedelta) -> Iterable[str]:
    shown_by: dict[str, str] = {}
    for known in list_workers(database, live_for):  # by name
        if known.is_live:
            for queue in known.queues.split(","):
                shown_by.setdefault(queue, known.name)
    return [queue for queue, name in shown_by.items() if name == worker]


def _info(job: Job, worker: str) -> dict[str, Any]:
    """Return a job as Celery's `Request.info` shows a task; its arguments are by name."""
    process = (job.worker or "").rpartition("/")[2]
    is_running = job.status is Status.RUNNING
    return {
        "id": job.id,
        "name": job.task,
        "type": job.task,
        "args": [],
        "kwargs": _arguments(job),
        "hostname": worker,
        "time_start": job.started_at.timestamp() if is_running and job.started_at else None,
        "acknowledged": False,
        "delivery_info": {
            "exchange": "",
            "routing_key": job.queue,
            "priority": job.priority,
            "redelivered": job.attempt > 1,
        },
        "worker_pid": int(process) if is_running and process.isdecimal() else None,
    }


def _arguments(job: Job) -> dict[str, Any]:
    if is_check(job.payload) or len(job.payload) > LONGEST_PAYLOAD:
        return {}
    payload = json.loads(job.payload)
    return payload if isinstance(payload, dict) else {"payload": payload}
