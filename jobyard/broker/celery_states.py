"""Celery's words for the states of a job."""

from collections.abc import Mapping
from typing import Final

from celery import states

from jobyard.jobs.job import Status

PENDING: Final = states.PENDING
CELERY_STATES: Final[Mapping[Status, str]] = {
    Status.SCHEDULED: states.PENDING,
    Status.QUEUED: states.PENDING,
    Status.RUNNING: states.STARTED,
    Status.RETRYING: states.RETRY,
    Status.SUCCEEDED: states.SUCCESS,
    Status.DEAD: states.FAILURE,
    Status.CANCELLED: states.REVOKED,
    Status.EXPIRED: states.REVOKED,
}
