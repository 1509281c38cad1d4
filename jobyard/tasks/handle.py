"""What `.delay()` and `.submit()` return: a job handle with the method names of Celery's `AsyncResult`."""

from time import sleep
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.job import Failure, Job, Status
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.job_queries import get_job
from jobyard.tasks.context import running_job_id

Out = TypeVar("Out")

FIRST_POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.25


class JobFailedError(JobyardError):
    """The job that was waited for ended without a result."""

    def __init__(self, job_id: str, status: Status, failure: Failure | None) -> None:
        self.job_id, self.status, self.failure = job_id, status, failure
        why = f": {failure.type}: {failure.message}" if failure else ""
        super().__init__(f"job {job_id} is {status}{why}")


class JobHandle(Generic[Out]):
    """An accepted job; every property queries the ledger."""

    def __init__(self, job_id: str, result_adapter: TypeAdapter[Out], *, is_new: bool = True) -> None:
        self.id, self.is_new, self._result_adapter = job_id, is_new, result_adapter

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}>"

    @property
    def job(self) -> Job:
        """The job's row in the ledger; raises `JobPrunedError` once it has been deleted."""
        return get_job(get_ledger().database, self.id)

    @property
    def status(self) -> Status:
        return self.job.status

    def ready(self) -> bool:
        return self.status.is_final

    def successful(self) -> bool:
        return self.status is Status.SUCCEEDED

    def failed(self) -> bool:
        return self.status is Status.DEAD

    def get(self, timeout: float | None = None) -> Out:
        """Wait for the result, at most `timeout` seconds.

        Raises `TimeoutError` when the time is up, `JobFailedError` when the job ended without a result, and
        `RuntimeError` inside a task, because the other job may be waiting for this task's slot.
        """
        job = self._wait(timeout)
        if job.status is not Status.SUCCEEDED or job.result is None:
            raise JobFailedError(job.id, job.status, job.failure)
        return self._result_adapter.validate_json(get_claim_checks().fetch(job.id, job.result))

    def _wait(self, timeout: float | None) -> Job:
        if running_job_id() is not None and not (job := self.job).status.is_final:
            raise RuntimeError(
                f"a task must not wait for another job ({self.id} is {job.status}): every slot may be taken "
                "by tasks that wait; let the other job submit the next job, or raise RetryLater"
            )
        deadline = None if timeout is None else monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while not (job := self.job).status.is_final:
            left = pause if deadline is None else deadline - monotonic()
            if left <= 0:
                raise TimeoutError(f"job {self.id} is still {job.status} after {timeout} s")
            sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
        return job
