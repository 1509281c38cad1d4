"""The words that Celery has for the states of a job."""

from collections.abc import Mapping
from typing import Final

from jobyard.jobs.job import Status

PENDING: Final = "PENDING"
CELERY_STATES: Final[Mapping[Status, str]] = {
    Status.SCHEDULED: PENDING,
    Status.QUEUED: PENDING,
    Status.RUNNING: "STARTED",
    Status.RETRYING: "RETRY",
    Status.SUCCEEDED: "SUCCESS",
    Status.DEAD: "FAILURE",
    Status.CANCELLED: "REVOKED",
    Status.EXPIRED: "REVOKED",
}
