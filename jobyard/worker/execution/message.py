"""What a worker does with one message: claim its jobs, run them, settle them. Then it is acknowledged."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING, Any, Final

import structlog
from celery.exceptions import Retry

from jobyard.jobs.clock import monotonic, utc_now
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.database.engine import reading
from jobyard.jobs.errors import JobyardError, LedgerUnavailableError
from jobyard.jobs.job import (
    Cause,
    ClaimedJob,
    Failed,
    Failure,
    HandedBack,
    NotStarted,
    Outcome,
    Status,
    Succeeded,
)
from jobyard.jobs.ledger.grouped_ledger import get_grouped_ledger
from jobyard.jobs.ledger.leases import Held, get_leases
from jobyard.jobs.ledger.ledger import get_ledger
from jobyard.jobs.reading.job_queries import status_of
from jobyard.worker.execution.isolated import is_suspect
from jobyard.worker.execution.supervisor import attempt_of_suspect, attempts

if TYPE_CHECKING:
    from jobyard.tasks.task import AnyTask

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 2.0
# A bundle that is well formed takes half a second, or two thirds where that is two jobs instead of one.
PATIENCE_SECONDS = 0.75
# For a job that a message is ahead of: all together longer than `doorbell.LONGEST_COMMIT_SECONDS`.
LOOKS_AFTER_SECONDS: Final = (0.0002, 0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)
ASKS_FROM_SECONDS: Final = 0.0005


class AttemptFailedError(JobyardError):
    """Tells Celery, and so Flower, that an attempt failed; the ledger knows already."""


def run_bundle(task: "AnyTask", job_ids: Sequence[str], worker: str) -> None:
    """Run the jobs of one message, as many of them as this worker can claim.

    Raises `Retry` or `AttemptFailedError` for a message of one job, so that Flower shows how it ended.
    """
    if not job_ids:
        return
    claimed_at = monotonic()
    reach(CrashPoint.FETCHED)
    claimed = _claim(job_ids, worker)
    reach(CrashPoint.CLAIMED)
    limit = _longest_seconds(task, claimed)
    with get_leases().held(claimed, claimed_at, limit) as leases:
        last = _run(task, list(zip(claimed, leases, strict=True)), worker)
    if len(claimed) == 1 and last is not None:
        _tell_celery(last)


def _longest_seconds(task: "AnyTask", claimed: Sequence[ClaimedJob]) -> float | None:
    # Nothing that a suspect does can hang this process, and its own may take long to start.
    if task.hard_limit is None or any(is_suspect(job) for job in claimed):
        return None
    return task.hard_limit * len(claimed)


def _run(named: "AnyTask", held: Sequence[Held], worker: str) -> Outcome | None:
    """Run what was claimed, and write down how it ended; return the outcome that came last."""
    until, last = monotonic() + PATIENCE_SECONDS, None
    rest = deque(held)
    while rest:
        for outcomes in _some(named, rest, max(0.0, until - monotonic())):
            reach(CrashPoint.RAN)
            last = outcomes[-1] if outcomes else last
            _write_down(outcomes, held, worker)
            reach(CrashPoint.SETTLED)
    return last


def _some(named: "AnyTask", rest: "deque[Held]", patience_seconds: float) -> Iterator[list[Outcome]]:
    """Take the first jobs off the list that can run together, and run them."""
    job, lease = rest.popleft()
    # A message only says which job waits; whose it is stands in the ledger.
    task: Any = named if job.task == named.name else named.app.tasks.get(job.task)
    if task is None:
        yield [HandedBack(job.id, job.attempt, f"this worker does not know its task, {job.task!r}")]
    elif is_suspect(job):
        yield [attempt_of_suspect(task, job, lease)]
    else:
        together = [(job, lease)]
        while rest and rest[0][0].task == job.task and not is_suspect(rest[0][0]):
            together.append(rest.popleft())
        yield from attempts(task, together, patience_seconds if len(together) > 1 else math.inf)


def _write_down(outcomes: Sequence[Outcome], held: Sequence[Held], worker: str) -> None:
    if going_back := {outcome.job_id for outcome in outcomes if isinstance(outcome, NotStarted)}:
        get_leases().release(lease for job, lease in held if job.id in going_back)
    _settle(outcomes, worker)
    _log(outcomes, {job.id: job.task for job, _ in held})


def _claim(job_ids: Sequence[str], worker: str) -> list[ClaimedJob]:
    try:
        claimed = get_grouped_ledger(worker).claim(job_ids)
        if not claimed and len(job_ids) == 1:
            claimed = _claim_when_it_is_there(job_ids[0], worker)
    except LedgerUnavailableError as error:
        # The rows are still queued, so the keeper will ring again.
        log.warning("not claimed", job_ids=job_ids[:10], reason=str(error))
        return []
    if len(claimed) < len(job_ids):
        log.info("message claimed nothing, or not all", jobs=len(job_ids), claimed=len(claimed))
    return claimed


def _claim_when_it_is_there(job_id: str, worker: str) -> list[ClaimedJob]:
    """Wait a moment for a row that is being committed: its message may be ahead of it."""
    for pause in LOOKS_AFTER_SECONDS:
        sleep(pause)
        if claimed := get_grouped_ledger(worker).claim([job_id]):
            return claimed
        # To ask costs as much as to try, and most often the row comes with the next breath.
        if pause >= ASKS_FROM_SECONDS and _is_past(job_id):
            break
    return []


def _is_past(job_id: str) -> bool:
    with reading(get_ledger().engine) as connection:
        return status_of(connection, job_id) not in (None, Status.QUEUED)


def _settle(outcomes: Sequence[Outcome], worker: str) -> None:
    # However long the ledger is out of reach: nobody else can get at the jobs meanwhile, and should
    # somebody be given them before this gets through, the ledger refuses what comes too late.
    pause, is_second_try = 0.05, False
    while outcomes:
        try:
            get_grouped_ledger(worker).settle(outcomes)
            return
        except LedgerUnavailableError as error:
            log.warning("outcomes not recorded, trying again", jobs=len(outcomes), reason=str(error))
        except Exception as error:
            log.exception("outcomes refused by the ledger", jobs=len(outcomes))
            if len(outcomes) > 1:  # it may be one of them that cannot be kept
                for outcome in outcomes:
                    _settle([outcome], worker)
                return
            if is_second_try:
                return  # the leases run out, and the jobs are taken back
            outcomes, is_second_try = [_refused(outcome, error) for outcome in outcomes], True
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _refused(outcome: Outcome, error: Exception) -> Failed:
    words = f"the ledger refused to keep how this attempt ended: {type(error).__name__}"
    failure = Failure(Cause.RESULT_REFUSED, type(error).__name__, words)
    return Failed(outcome.job_id, outcome.attempt, failure, retry_in=None)


def _log(outcomes: Sequence[Outcome], tasks: Mapping[str, str]) -> None:
    # One line for what went well: a bundle is as much as a page of them, and the ledger has each.
    well = [outcome for outcome in outcomes if isinstance(outcome, Succeeded)]
    if len(well) > 1:
        log.info("succeeded", job_id=well[0].job_id, task=tasks[well[0].job_id], jobs=len(well))
        outcomes = [outcome for outcome in outcomes if not isinstance(outcome, Succeeded)]
    for outcome in outcomes:
        _log_one(outcome, tasks[outcome.job_id])


def _log_one(outcome: Outcome, task_name: str) -> None:
    words = {"job_id": outcome.job_id, "task": task_name, "attempt": outcome.attempt}
    match outcome:
        case NotStarted():
            log.debug("not started, for others to run", **words)
        case HandedBack():
            log.warning("handed back", **words, reason=outcome.reason)
        case Failed(retry_in=None):
            log.error("dead", **words, cause=outcome.failure.cause, reason=_reason(outcome.failure))
        case Failed(retry_in=timedelta() as delay):
            seconds = round(delay.total_seconds(), 1)
            log.warning("failed, will retry", **words, retry_in_s=seconds, reason=_reason(outcome.failure))
        case _:
            log.info("succeeded", **words)


def _reason(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}"


def _tell_celery(outcome: Outcome) -> None:
    match outcome:
        case HandedBack(reason=reason):
            raise Retry(reason)
        case Failed(retry_in=None, failure=failure):
            raise AttemptFailedError(_reason(failure))
        case Failed(retry_in=timedelta() as delay, failure=failure):
            raise Retry(failure.message, when=utc_now() + delay)
