"""Sends `task_revoked` about jobs whose message a worker has got, and that were cancelled or have expired."""

import json
from collections.abc import Collection

import structlog
from celery.signals import task_revoked

from jobyard.broker.celery_app import app
from jobyard.broker.receivers import send
from jobyard.jobs.errors import JobNotFoundError
from jobyard.jobs.job import ClaimedJob, Job, Status
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.job_queries import get_job
from jobyard.tasks.registry import known_task
from jobyard.worker.execution.celery_request import celery_request
from jobyard.worker.execution.stored_payload import read_payload

log = structlog.get_logger()


def report_revoked(job_ids: Collection[str]) -> None:
    """Send the signal about those of the jobs that it concerns, if a receiver is connected."""
    if not task_revoked.receivers:
        return
    for job_id in job_ids:
        try:
            job = get_job(get_ledger().database, job_id)
            if job.status in (Status.CANCELLED, Status.EXPIRED):
                _send(job)
        except JobNotFoundError:
            continue
        except Exception:
            log.exception("task_revoked was not sent", job_id=job_id)


def _send(job: Job) -> None:
    definition = known_task(job.task)
    if definition is None:
        return
    payload = read_payload(definition, job.id, job.payload)
    claimed = ClaimedJob(
        id=job.id,
        task=job.task,
        payload=job.payload,
        attempt=job.attempt,
        failures=job.failures,
        max_attempts=job.max_attempts,
        lost=job.lost,
        created_at=job.created_at,
        external_id=job.external_id,
        headers=json.dumps(job.headers) if job.headers else None,
    )
    send(
        task_revoked,
        app.tasks.get(definition.name),
        request=celery_request(definition, claimed, payload),
        terminated=False,
        signum=None,
        expired=job.status is Status.EXPIRED,
    )
