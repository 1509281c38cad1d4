"""What a handle raises where there is no result: an error that is the task's own and Celery's as well.

So `except ValueError:` around `.get()` goes on catching what the task raised, as it does in Celery.
"""

import builtins
import sys
from contextlib import suppress
from functools import cache
from typing import Any, Final, cast

import celery.exceptions

from jobyard.jobs.errors import JobyardError
from jobyard.jobs.job import Cause, Failure, Status

# Whoever raises one of these means something else by it than that a job has failed.
_NEVER_RAISED: Final = (StopIteration, StopAsyncIteration)
# The classes that Celery has for what a worker says of an attempt.
_CELERY_CLASSES: Final[dict[tuple[Cause, str], type[Exception]]] = {
    (Cause.LOST_WORKER, "WorkerLost"): celery.exceptions.WorkerLostError,
    (Cause.TIME_LIMIT, "SoftTimeLimitExceeded"): celery.exceptions.SoftTimeLimitExceeded,
    (Cause.TIME_LIMIT, "TimeLimitExceeded"): celery.exceptions.TimeLimitExceeded,
}


class JobFailedError(JobyardError):
    """The job that was waited for ended without a result.

    Where the class of the task's exception is known in this process, the error is one of that class too, with
    its message, and a note names the job.
    """

    def __init__(self, job_id: str, status: Status, failure: Failure | None) -> None:
        self.job_id, self.status, self.failure = job_id, status, failure
        why = f": {failure.type}: {failure.message}" if failure else ""
        super().__init__(f"job {job_id} is {status}{why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return failed_error, (self.job_id, self.status, self.failure)


class JobTimeoutError(JobyardError, TimeoutError, celery.exceptions.TimeoutError):
    """The job has not ended in the time that its caller would wait."""


def failed_error(job_id: str, status: Status, failure: Failure | None) -> JobFailedError:
    """Return the error for a job that ended without a result; `failure` is that of its last attempt."""
    plain = JobFailedError(job_id, status, failure)
    own = _class_of(status, failure)
    if own is None or issubclass(own, JobFailedError):
        return plain
    # Some classes cannot be derived from, or cannot be made without arguments of their own.
    with suppress(Exception):
        message = failure.message if failure and status is Status.DEAD else str(plain)
        both = _both(cast(Any, own))
        error: JobFailedError = both.__new__(both, message)
        error.job_id, error.status, error.failure, error.args = job_id, status, failure, (message,)
        error.add_note(f"job {job_id} is {status}")
        return error
    return plain


def _class_of(status: Status, failure: Failure | None) -> type[Exception] | None:
    if status in (Status.CANCELLED, Status.EXPIRED):
        return celery.exceptions.TaskRevokedError
    if failure is None:
        return None
    if (failure.cause, failure.type) in _CELERY_CLASSES:
        return _CELERY_CLASSES[failure.cause, failure.type]
    # A caller that has an `except` for the class has imported its module, so nothing is imported here.
    found: Any = sys.modules.get(failure.module) if failure.module else builtins
    for name in failure.type.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, type) or not issubclass(found, Exception) or issubclass(found, _NEVER_RAISED):
        return None
    return found


@cache
def _both(own: Any) -> Any:
    members = {
        "__module__": own.__module__,
        "__qualname__": own.__qualname__,
        "__str__": lambda error: str(error.args[0]),
        "__doc__": own.__doc__,
    }
    return type(own.__name__, (JobFailedError, own), members)
