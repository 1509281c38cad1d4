"""Celery's `Context` of a job: what receivers of signals and hooks find as `task.request`."""

from typing import Any

from celery.app.task import Context

from jobyard.jobs.job import ClaimedJob
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.request import request_of_call
from jobyard.tasks.running_call import RunningCall, call_of


def celery_request(definition: AnyDefinition, job: ClaimedJob, payload: Any) -> Context:
    """Return the request of one attempt: that of the call which runs here, if it is this attempt's."""
    call = call_of(definition)
    if call is None or call.job is not job:
        call = RunningCall(definition, job)
        call.payload = payload
    return request_of_call(call)
