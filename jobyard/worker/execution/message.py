"""Handles one message in a worker: claims its jobs, leases, runs, settles and logs them, and tells Celery."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import timedelta
from time import sleep
from typing import Final

import structlog
from celery.exceptions import Retry

from jobyard.jobs.clock import monotonic, utc_now
from jobyard.jobs.crash_points import CrashPoint, crash_here_if_asked
from jobyard.jobs.errors import AttemptFailedError, LedgerUnavailableError
from jobyard.jobs.job import (
    Cause,
    ClaimedJob,
    Failed,
    Failure,
    HandedBack,
    NotStarted,
    Outcome,
    PutOff,
    Status,
)
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.grouped_ledger import get_grouped_ledger
from jobyard.jobs.ledger.leases import LeasedJob, get_leases
from jobyard.jobs.reading.job_queries import status_of
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.registry import known_task
from jobyard.worker.execution.isolated import is_quarantined
from jobyard.worker.execution.limits import limits_of
from jobyard.worker.execution.other_version import unknown_task
from jobyard.worker.execution.outcome_log import log_outcomes, reason_of
from jobyard.worker.execution.revoked import report_revoked
from jobyard.worker.execution.supervisor import run_attempts, run_quarantined_attempt

log = structlog.get_logger()

# The longest pause between two tries to settle.
LONGEST_PAUSE_SECONDS: Final = 2.0
# After this time no further job of a bundle begins. The publisher aims at bundles of half a second, and of
# two thirds of one where that makes two jobs instead of one.
PATIENCE_SECONDS: Final = 0.75
# Pauses between tries to claim a row whose message arrived before its commit; together 32 ms, which is longer
# than `LONGEST_COMMIT_SECONDS` of `jobyard/broker/accept_and_publish.py`.
LOOK_AGAIN_AFTER_SECONDS: Final = (0.0002, 0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)
# From this pause on the status is queried too; before, another try to claim is as cheap as the query.
QUERY_STATUS_FROM_SECONDS: Final = 0.0005


def run_message(task: AnyDefinition, job_ids: Sequence[str], worker: str) -> None:
    """Run those jobs of one message that this worker can claim.

    Raises `Retry` or `AttemptFailedError` for a message of one job, so that Flower shows how it ended.
    """
    if not job_ids:
        return
    claimed_at = monotonic()
    crash_here_if_asked(CrashPoint.FETCHED)
    claimed = _claim(job_ids, worker)
    crash_here_if_asked(CrashPoint.CLAIMED)
    last = None
    with get_leases().hold(claimed, claimed_at, _longest_seconds(task, claimed)) as leases:
        leased_jobs = list(zip(claimed, leases, strict=True))
        for outcomes in _run(task, leased_jobs):
            crash_here_if_asked(CrashPoint.RAN)
            _settle_and_log(outcomes, leased_jobs, worker)
            crash_here_if_asked(CrashPoint.SETTLED)
            last = outcomes[-1] if outcomes else last
    if len(claimed) == 1 and last is not None:
        _tell_celery(last)


def _longest_seconds(task: AnyDefinition, claimed: Sequence[ClaimedJob]) -> float | None:
    # A quarantined job cannot hang this process, and its isolated process may take long to start.
    if any(is_quarantined(job) for job in claimed):
        return None
    return sum(limits_of(task, job).hard for job in claimed)


def _run(message_task: AnyDefinition, leased_jobs: Sequence[LeasedJob]) -> Iterator[list[Outcome]]:
    """Run the claimed jobs, and yield their outcomes in groups that are settled together."""
    deadline, rest = monotonic() + PATIENCE_SECONDS, deque(leased_jobs)
    while rest:
        yield from _run_next_group(message_task, rest, max(0.0, deadline - monotonic()))


def _run_next_group(
    message_task: AnyDefinition, rest: "deque[LeasedJob]", patience_seconds: float
) -> Iterator[list[Outcome]]:
    """Remove the first jobs that can run together from `rest`, and run them."""
    job, lease = rest.popleft()
    # The message only names the job; the ledger decides which task it belongs to.
    task = message_task if job.task == message_task.name else known_task(job.task)
    if task is None:
        yield [PutOff(job.id, job.attempt, unknown_task(job.task))]
    elif is_quarantined(job):
        yield [run_quarantined_attempt(task, job, lease)]
    else:
        group = [(job, lease)]
        while rest and rest[0][0].task == job.task and not is_quarantined(rest[0][0]):
            group.append(rest.popleft())
        yield from run_attempts(task, group, patience_seconds if len(group) > 1 else math.inf)


def _claim(job_ids: Sequence[str], worker: str) -> list[ClaimedJob]:
    try:
        claimed = get_grouped_ledger(worker).claim(job_ids)
        if not claimed and len(job_ids) == 1:
            claimed = _claim_once_committed(job_ids[0], worker)
    except LedgerUnavailableError as error:
        # The rows are still queued, so the keeper publishes them again.
        log.warning("not claimed", job_ids=job_ids[:10], reason=str(error))
        return []
    if len(claimed) < len(job_ids):
        log.info("message claimed nothing, or not all", jobs=len(job_ids), claimed=len(claimed))
        report_revoked(set(job_ids) - {job.id for job in claimed})
    return claimed


def _claim_once_committed(job_id: str, worker: str) -> list[ClaimedJob]:
    """Wait a moment for a row that is being committed: its message may have arrived before."""
    for pause in LOOK_AGAIN_AFTER_SECONDS:
        sleep(pause)
        if claimed := get_grouped_ledger(worker).claim([job_id]):
            return claimed
        if pause >= QUERY_STATUS_FROM_SECONDS and _has_been_claimed(job_id):
            break
    return []


def _has_been_claimed(job_id: str) -> bool:
    with get_ledger().database.reading() as connection:
        return status_of(connection, job_id) not in (None, Status.QUEUED)


def _settle_and_log(outcomes: Sequence[Outcome], leased_jobs: Sequence[LeasedJob], worker: str) -> None:
    if not_started := {outcome.job_id for outcome in outcomes if isinstance(outcome, NotStarted)}:
        get_leases().release(lease for job, lease in leased_jobs if job.id in not_started)
    _settle(outcomes, worker)
    log_outcomes(outcomes, {job.id: job.task for job, _ in leased_jobs})


def _settle(outcomes: Sequence[Outcome], worker: str) -> None:
    # This retries until the ledger answers, however long that takes. No other worker can get the jobs
    # meanwhile; if their leases run out, the ledger refuses the late outcomes.
    pause, is_second_try = 0.05, False
    while outcomes:
        try:
            get_grouped_ledger(worker).settle(outcomes)
            return
        except LedgerUnavailableError as error:
            log.warning("outcomes not recorded, trying again", jobs=len(outcomes), reason=str(error))
        except Exception as error:
            log.exception("outcomes refused by the ledger", jobs=len(outcomes))
            if len(outcomes) > 1:  # perhaps only one of them cannot be stored
                for outcome in outcomes:
                    _settle([outcome], worker)
                return
            if is_second_try:
                return  # the leases will run out, and the keeper rescues the jobs
            outcomes, is_second_try = [_refused_outcome(outcome, error) for outcome in outcomes], True
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _refused_outcome(outcome: Outcome, error: Exception) -> Failed:
    message = f"the ledger refused to store the outcome of this attempt: {type(error).__name__}"
    failure = Failure(Cause.RESULT_REFUSED, type(error).__name__, message)
    return Failed(outcome.job_id, outcome.attempt, failure, retry_in=None)


def _tell_celery(outcome: Outcome) -> None:
    match outcome:
        case HandedBack(reason=reason):
            raise Retry(reason)
        case PutOff(failure=failure):
            raise Retry(reason_of(failure))
        case Failed(retry_in=None, failure=failure):
            raise AttemptFailedError(reason_of(failure))
        case Failed(retry_in=timedelta() as delay, failure=failure):
            raise Retry(failure.message, when=utc_now() + delay)
