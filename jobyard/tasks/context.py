"""The running job's id and attempt, which a task reads with `current_job()`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter

from jobyard.jobs.database.ledger_database import LedgerDatabase, get_database
from jobyard.jobs.reading.job_queries import get_progress

T = TypeVar("T")


@dataclass(slots=True)
class InlineRun:
    """A job that runs where it was handed in; `error` is what its last attempt has raised.

    One that `is_alone` is in no ledger but its own, which no other process sees.
    """

    database: LedgerDatabase
    is_alone: bool = False
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class JobContext:
    """The job that is running, and which attempt at it this is (from 1).

    The pair is new for every run, so an external system that remembers the highest attempt
    for a job id can refuse the late writes of a worker that lost its lease.
    """

    job_id: str
    attempt: int
    inline: InlineRun | None = field(default=None, repr=False, compare=False)

    @property
    def is_eager(self) -> bool:
        """Tell whether the job runs where it was handed in, as in tests, and not in a worker."""
        return self.inline is not None

    def progress(self, kind: type[T]) -> T | None:
        """Return what an earlier attempt had done, as it was given to `RetryLater(progress=...)`, or None.

        It reads the ledger, except in the first attempt, and blocks meanwhile. Raises pydantic's
        `ValidationError` where it is of another type, and `LedgerUnavailableError`.
        """
        database = self.inline.database if self.inline else get_database()
        text = get_progress(database, self.job_id) if self.attempt > 1 else None
        return None if text is None else TypeAdapter(kind).validate_json(text)


_current: ContextVar[JobContext] = ContextVar("current_job")
_inline: ContextVar[InlineRun | None] = ContextVar("inline_run", default=None)


def current_job() -> JobContext:
    """Return the running job's context; raises `LookupError` outside a job."""
    return _current.get()


def running_job_id() -> str | None:
    """Return the id of the job that is running, or None outside a job."""
    context = _current.get(None)
    return context.job_id if context else None


def parent_job_id() -> str | None:
    """Return the id of the job that hands another in, or None where the ledger does not have it."""
    context = _current.get(None)
    return None if context is None or (context.inline and context.inline.is_alone) else context.job_id


def inline_run() -> InlineRun | None:
    """Return the run of which the next attempt of this thread is a part, or None in a worker."""
    return _inline.get()


def current_database() -> LedgerDatabase:
    """Return the database of the ledger that has the job which runs here: this process's, or its own."""
    run = _inline.get()
    return get_database() if run is None else run.database


@contextmanager
def running_inline(run: InlineRun) -> Iterator[None]:
    """Make the attempts of the block parts of `run`."""
    token = _inline.set(run)
    try:
        yield
    finally:
        _inline.reset(token)


@contextmanager
def running(context: JobContext) -> Iterator[None]:
    """Make `context` the current job for the block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
