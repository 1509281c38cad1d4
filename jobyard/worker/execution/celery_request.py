"""Celery's `Context` of a job: what receivers of signals and hooks find as `task.request`."""

from socket import gethostname
from typing import Any

from celery.app.task import Context

from jobyard.jobs.job import ClaimedJob
from jobyard.tasks.definition import AnyDefinition


def celery_request(definition: AnyDefinition, job: ClaimedJob, payload: Any) -> Context:
    """Return the request of one attempt, with the job's id and its real arguments."""
    args, kwargs = definition.signature.by_position(payload)
    return Context(
        id=job.id,
        root_id=job.id,
        correlation_id=job.id,
        task=job.task,
        args=list(args),
        kwargs=dict(kwargs),
        retries=job.failures,
        hostname=gethostname(),
        is_eager=False,
        called_directly=False,
        utc=True,
    )
