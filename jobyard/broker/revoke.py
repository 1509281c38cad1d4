"""What Celery calls to revoke a task: the job is cancelled in the ledger, and in no worker's memory."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from jobyard.jobs.errors import IllegalMoveError, JobNotFoundError, LedgerUnavailableError
from jobyard.jobs.job import Status
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import own_id_of

GOES_ON: Final = "it goes on, because only a job that waits can be cancelled; its time limit ends it"


class Answer(NamedTuple):
    """What became of one order to revoke a job; `status` is what the job was before, where that is known."""

    job_id: str
    is_done: bool
    status: Status | None
    text: str


def revoke(ledger: Ledger, job_ids: str | Iterable[str], *, reason: str, actor: str) -> list[Answer]:
    """Cancel those of the jobs that wait, by their ids or their callers' own; return an answer about each."""
    ids = [job_ids] if isinstance(job_ids, str) else list(job_ids)
    return [_revoke(ledger, job_id, reason, actor) for job_id in ids]


def _revoke(ledger: Ledger, job_id: str, reason: str, actor: str) -> Answer:
    try:
        ledger.cancel(own_id_of(ledger.database, job_id), reason, actor=actor)
    except IllegalMoveError as error:
        return _answer_for(job_id, Status(error.status))
    except JobNotFoundError as error:
        return Answer(job_id, False, None, str(error))
    except LedgerUnavailableError as error:
        return Answer(job_id, False, None, f"job {job_id} is not cancelled: {error}")
    return Answer(job_id, True, None, f"job {job_id} is cancelled")


def _answer_for(job_id: str, status: Status) -> Answer:
    if status is Status.RUNNING:
        return Answer(job_id, False, status, f"job {job_id} runs: {GOES_ON}")
    return Answer(job_id, True, status, f"job {job_id} has ended already: {status}")
