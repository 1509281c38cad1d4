"""The running job's id and attempt, which a task reads with `current_job()`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter

from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.reading.job_queries import get_progress

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobContext:
    """The job that is running, and which attempt at it this is (from 1).

    The pair is new for every run, so an external system that remembers the highest attempt
    for a job id can refuse the late writes of a worker that lost its lease.
    """

    job_id: str
    attempt: int

    def progress(self, kind: type[T]) -> T | None:
        """Return what an earlier attempt had done, as it was given to `RetryLater(progress=...)`, or None.

        It reads the ledger, except in the first attempt, and blocks meanwhile. Raises pydantic's
        `ValidationError` where it is of another type, and `LedgerUnavailableError`.
        """
        text = get_progress(get_database(), self.job_id) if self.attempt > 1 else None
        return None if text is None else TypeAdapter(kind).validate_json(text)


_current: ContextVar[JobContext] = ContextVar("current_job")


def current_job() -> JobContext:
    """Return the running job's context; raises `LookupError` outside a job."""
    return _current.get()


def running_job_id() -> str | None:
    """Return the id of the job that is running, or None outside a job."""
    context = _current.get(None)
    return context.job_id if context else None


@contextmanager
def running(context: JobContext) -> Iterator[None]:
    """Make `context` the current job for the block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
