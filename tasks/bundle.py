"""What a worker does with one message: claim its jobs, run them, settle them. Then it is acknowledged."""

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

import structlog
from celery.exceptions import Retry

from jobs.clock import monotonic, utc_now
from jobs.crash_points import CrashPoint, reach
from jobs.errors import JobyardError, LedgerUnavailableError
from jobs.grouped import get_grouped_ledger
from jobs.job import Cause, ClaimedJob, Failed, Failure, HandedBack, NotStarted, Outcome
from jobs.leases import Lease, get_leases
from tasks.pace import get_stopwatch
from tasks.supervision import Meanwhile, run_attempt

if TYPE_CHECKING:
    from tasks.base import AnyTask

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 2.0
# A bundle that is well formed takes a tenth of a second.
PATIENCE_SECONDS = 0.25


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
    limit = task.hard_limit * len(claimed) if task.hard_limit else None
    with ExitStack() as stack:
        leases = [stack.enter_context(get_leases().held(job, claimed_at, limit)) for job in claimed]
        bundle = _Bundle(task, claimed, leases, worker)
        bundle.run()
        reach(CrashPoint.RAN)
        bundle.settle()
    reach(CrashPoint.SETTLED)
    if len(claimed) == 1:
        _tell_celery(bundle.last)


class _Bundle:
    """Claimed jobs that run one after another. What has not begun in time goes back, for others to run."""

    def __init__(
        self, task: "AnyTask", claimed: Sequence[ClaimedJob], leases: Sequence[Lease], worker: str
    ) -> None:
        self._task, self._worker = task, worker
        self._to_do = deque(zip(claimed, leases, strict=True))
        self._ended: list[tuple[Outcome, str]] = []
        self.last: Outcome

    def run(self) -> None:
        began, number = monotonic(), 0
        rest = Meanwhile(began + PATIENCE_SECONDS, self._hand_back_the_rest)
        while self._to_do:
            job, lease = self._to_do.popleft()
            self.last = self._run(job, lease, rest if self._to_do else None)
            self._ended.append((self.last, job.task))
            number += 1
            if monotonic() > rest.at:
                self._hand_back_the_rest()
        if number:
            get_stopwatch().note(self._task.name, monotonic() - began, number)

    def _run(self, job: ClaimedJob, lease: Lease, meanwhile: Meanwhile | None) -> Outcome:
        # A message only says which job waits; whose it is stands in the ledger.
        named = self._task
        task: Any = named if job.task == named.name else named.app.tasks.get(job.task)
        if task is None:
            return HandedBack(job.id, job.attempt, f"this worker does not know its task, {job.task!r}")
        return run_attempt(task, job, lease, meanwhile)

    def _hand_back_the_rest(self) -> None:
        for job, lease in self._to_do:
            get_leases().release(lease)
            self._ended.append((NotStarted(job.id, job.attempt), job.task))
        self._to_do.clear()
        self.settle()

    def settle(self) -> None:
        """Write down how those ended that have, and that is not written yet."""
        ended, self._ended = self._ended, []
        _settle([outcome for outcome, _ in ended], self._worker)
        for outcome, task_name in ended:
            _log(outcome, task_name)


def _claim(job_ids: Sequence[str], worker: str) -> list[ClaimedJob]:
    try:
        claimed = get_grouped_ledger(worker).claim(job_ids)
    except LedgerUnavailableError as error:
        # The rows are still queued, so the keeper will ring again.
        log.warning("not claimed", job_ids=job_ids[:10], reason=str(error))
        return []
    if len(claimed) < len(job_ids):
        log.info("message claimed nothing, or not all", jobs=len(job_ids), claimed=len(claimed))
    return claimed


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
            if is_second_try:
                return  # the leases run out, and the jobs are taken back
            outcomes, is_second_try = [_refused(outcome, error) for outcome in outcomes], True
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _refused(outcome: Outcome, error: Exception) -> Failed:
    words = f"the ledger refused to keep how this attempt ended: {type(error).__name__}"
    failure = Failure(Cause.RESULT_REFUSED, type(error).__name__, words)
    return Failed(outcome.job_id, outcome.attempt, failure, retry_in=None)


def _log(outcome: Outcome, task_name: str) -> None:
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
