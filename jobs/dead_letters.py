"""Dead letters in numbers: replay many at once, and say of each that was refused why."""

from collections.abc import Sequence

from jobs.errors import IllegalMoveError, JobNotFoundError
from jobs.job import QueuedJob
from jobs.ledger import Ledger


def replay_many(ledger: Ledger, job_ids: Sequence[str]) -> tuple[list[QueuedJob], dict[str, str]]:
    """Replay what can be; return the jobs that are queued now, and the reason for each id that is not."""
    queued: list[QueuedJob] = []
    refused: dict[str, str] = {}
    for job_id in job_ids:
        try:
            queued.append(ledger.replay(job_id))
        except (JobNotFoundError, IllegalMoveError) as error:
            refused[job_id] = str(error)
    return queued, refused
