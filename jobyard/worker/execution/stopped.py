"""What becomes of an attempt that its worker has stopped: it is handed back, if its job may begin again."""

from typing import Final

import structlog

from jobyard.jobs.job import Cause, ClaimedJob, Failed, Failure, HandedBack
from jobyard.tasks.definition import AnyDefinition

log = structlog.get_logger()

NEVER_AGAIN: Final = "its worker stopped it, and it may not begin a second time (max_losses=0)"


def stopped_outcome(task: AnyDefinition, job: ClaimedJob, reason: str) -> HandedBack | Failed:
    """Return the outcome of an attempt that had begun and was stopped."""
    log.warning("attempt stopped", job_id=job.id, attempt=job.attempt, reason=reason)
    if task.max_losses > 0:
        return HandedBack(job.id, job.attempt, reason)
    failure = Failure(Cause.LOST_WORKER, "AttemptStopped", f"{NEVER_AGAIN}: {reason}")
    return Failed(job.id, job.attempt, failure, retry_in=None, counts=False)
