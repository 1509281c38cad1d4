"""What a test can ask about the jobs that ran."""

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.job import Attempt, Job, Status
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_attempts
from jobyard.jobs.reading.search import each_page

_PAGE = 500


class RecordedJobs:
    """The jobs of one ledger, oldest first."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database

    def all(self, task: str | None = None) -> list[Job]:
        """Return every job, or every job of the task with this name."""
        return self._find(JobFilter(task=task))

    def dead(self, task: str | None = None) -> list[Job]:
        """Return the dead letters, each with its `failure`."""
        return self._find(JobFilter(task=task, status=(Status.DEAD,)))

    def attempts(self, job_id: str) -> list[Attempt]:
        """Return the attempts at a job that did not succeed, oldest first, with their tracebacks."""
        return get_attempts(self._database, job_id)

    def _find(self, job_filter: JobFilter) -> list[Job]:
        pages = each_page(self._database, job_filter, _PAGE)
        return [job for page in pages for job in page][::-1]
