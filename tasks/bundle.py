"""What a worker does with one message: claim its jobs, run them, settle them. Then it is acknowledged."""

from collections.abc import Sequence
from time import sleep
from typing import TYPE_CHECKING

import structlog
from celery.exceptions import Retry, SoftTimeLimitExceeded

from config.settings import get_settings
from jobs.clock import monotonic, utc_now
from jobs.errors import JobyardError, LedgerUnavailableError
from jobs.grouped import get_grouped_ledger
from jobs.job import ClaimedJob, Failed, Outcome
from jobs.leases import get_leases
from tasks.attempt import attempt

if TYPE_CHECKING:
    from tasks.base import AnyTask

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 5.0


class AttemptFailedError(JobyardError):
    """Tells Celery, and so Flower, that an attempt failed; the ledger knows already."""


def run_bundle(task: "AnyTask", job_ids: Sequence[str], worker: str) -> None:
    """Run the jobs of one message, as many of them as this worker can claim.

    Raises `Retry` or `AttemptFailedError` for a message of one job, so that Flower shows how it ended.
    """
    claimed = _claim(job_ids, worker)
    limit = task.time_limit * len(claimed) if task.time_limit else None
    with get_leases().held(claimed, limit):
        outcomes = [_logged(attempt(task, job), task.name) for job in claimed]
        _settle(outcomes, worker)
    if len(outcomes) == 1:
        _tell_celery(outcomes[0])


def _claim(job_ids: Sequence[str], worker: str) -> list[ClaimedJob]:
    try:
        claimed = get_grouped_ledger(worker).claim(job_ids)
    except LedgerUnavailableError as error:
        # The rows are still queued, so the keeper will ring again.
        log.warning("not claimed", job_ids=job_ids, reason=str(error))
        return []
    if len(claimed) < len(job_ids):
        log.info("message claimed nothing, or not all", jobs=len(job_ids), claimed=len(claimed))
    return claimed


def _settle(outcomes: Sequence[Outcome], worker: str) -> None:
    # While the lease lasts the outcome is ours to record; after that another attempt counts.
    deadline = monotonic() + get_settings().worker.lease.total_seconds()
    pause = 0.05
    while outcomes:
        try:
            get_grouped_ledger(worker).settle(outcomes)
            return
        except (LedgerUnavailableError, SoftTimeLimitExceeded) as error:
            if monotonic() + pause > deadline:
                log.error(
                    "outcomes not recorded, the jobs will run again", jobs=len(outcomes), reason=str(error)
                )
                return
            log.warning("ledger out of reach, trying again", reason=str(error))
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _logged(outcome: Outcome, task_name: str) -> Outcome:
    words = {"job_id": outcome.job_id, "task": task_name, "attempt": outcome.attempt}
    if not isinstance(outcome, Failed):
        log.info("succeeded", **words)
    elif outcome.retry_in is None:
        log.error("dead", **words, cause=outcome.failure.cause, reason=outcome.failure.message)
    else:
        seconds = round(outcome.retry_in.total_seconds(), 1)
        log.warning("failed, will retry", **words, retry_in_s=seconds, reason=outcome.failure.message)
    return outcome


def _tell_celery(outcome: Outcome) -> None:
    if isinstance(outcome, Failed) and outcome.retry_in is not None:
        raise Retry(outcome.failure.message, when=utc_now() + outcome.retry_in)
    if isinstance(outcome, Failed):
        raise AttemptFailedError(f"{outcome.failure.type}: {outcome.failure.message}")
