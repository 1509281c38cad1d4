"""Celery's `Context` of a job: what receivers of signals and hooks find as `task.request`."""

import json
from socket import gethostname
from typing import Any

from celery.app.task import Context

from jobyard.jobs.job import ClaimedJob
from jobyard.tasks.definition import AnyDefinition


def celery_request(definition: AnyDefinition, job: ClaimedJob, payload: Any) -> Context:
    """Return the request of one attempt, with its real arguments, and its caller's own id if it has one.

    The headers of the call are also attributes, as Celery has them: integrations look for their traces there.
    """
    args, kwargs = definition.signature.by_position(payload)
    headers = json.loads(job.headers) if job.headers else {}
    task_id = job.external_id or job.id
    known = {
        "id": task_id,
        "root_id": task_id,
        "correlation_id": task_id,
        "task": job.task,
        "args": list(args),
        "kwargs": dict(kwargs),
        "headers": headers or None,
        "retries": job.failures,
        "timelimit": (job.time_limit, job.soft_time_limit),
        "hostname": gethostname(),
        "is_eager": False,
        "called_directly": False,
        "utc": True,
    }
    return Context(headers | known)
