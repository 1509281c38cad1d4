"""Celery's `Context` of a job: what receivers of signals and hooks find as `task.request`."""

from socket import gethostname
from typing import Any

from celery.app.task import Context

from jobyard.jobs.job import ClaimedJob
from jobyard.tasks.definition import AnyDefinition


def celery_request(definition: AnyDefinition, job: ClaimedJob, payload: Any) -> Context:
    """Return the request of one attempt, with the job's id and its real arguments."""
    args, kwargs = definition.signature.arguments(payload)
    # A payload does not say which arguments came by name; most calls of Celery's tasks are by position.
    bound = definition.signature.parameters.bind(*args, **kwargs)
    return Context(
        id=job.id,
        root_id=job.id,
        correlation_id=job.id,
        task=job.task,
        args=list(bound.args),
        kwargs=bound.kwargs,
        retries=job.failures,
        hostname=gethostname(),
        is_eager=False,
        called_directly=False,
        utc=True,
    )
