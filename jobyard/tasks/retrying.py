"""`task.retry(...)`, as Celery has it: another attempt at the same job, unless its retries are used up.

What it raises is Celery's `Retry` for the task's own `except`, and our `RetryLater` for the worker. A retry
that was asked for counts even where the task goes on, because in Celery its message has been sent by then.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from celery.exceptions import Ignore, Reject, Retry
from celery.utils.serialization import raise_with_context

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import CallRefusedError, Discard, RetryLater
from jobyard.jobs.job import ClaimedJob
from jobyard.jobs.retry import RetryPolicy, max_retries_of
from jobyard.tasks.running_call import RunningCall, call_of

# How messages are published, which is the keeper's matter here.
_WITHOUT_EFFECT: Final = frozenset(
    {"ignore_result", "retry", "retry_policy", "serializer", "compression", "add_to_parent", "shadow"}
)
REJECT: Final = (
    "Reject is not there, because a job is a row and no message: "
    "raise RetryLater(timedelta(...), 'why') to have it tried again, or Discard('why') to end it"
)


class JobRetry(Retry, RetryLater):
    """What `task.retry(...)` raises or returns; it is decided already that the job is tried again.

    `exc` is the exception that was the reason, or None, and `when` seconds or a date, as Celery has them.
    """

    def __init__(self, delay: timedelta, exc: Exception | None, when: Any, *, is_eager: bool = False) -> None:
        # Celery's own initializer calls the next one in line with its arguments, and that is `RetryLater`'s.
        self.message, self.exc, self.excs = None, exc, repr(exc) if exc is not None else None
        self.when, self.is_eager, self.sig = when, is_eager, None
        RetryLater.__init__(self, delay, str(self))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.delay, self.exc, self.when)


def retry(
    task: Any,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    exc: Exception | None,
    throw: bool,
    eta: datetime | None,
    countdown: float | None,
    max_retries: int | None,
    options: Mapping[str, Any],
) -> JobRetry:
    """Do what `Task.retry` says."""
    request, call = task.request, call_of(task.definition)
    if call is not None and max_retries is not None:
        call.max_retries = max_retries
    if request.called_directly:
        raise_with_context(exc or Retry("Task can be retried", None))
    _check(task, request, args, kwargs, options)
    limit = max_retries if max_retries is not None else _limit(task, call)
    if limit is not None and request.retries + 1 > limit:
        if exc is not None:
            raise_with_context(exc)
        raise task.MaxRetriesExceededError(
            f"Can't retry {task.name}[{request.id}] args:{request.args} kwargs:{request.kwargs}",
            task_args=request.args,
            task_kwargs=request.kwargs,
        )
    if not eta and countdown is None:
        countdown = task.default_retry_delay
    delay = _until(eta) if eta else timedelta(seconds=countdown or 0)
    asked = JobRetry(delay, exc, eta or countdown, is_eager=request.is_eager)
    if call is not None:
        call.retry = asked
    if throw:
        raise asked
    return asked


def _limit(task: Any, call: RunningCall | None) -> int | None:
    policy = task.definition.policy
    if call is None or call.job is None or call.job.max_attempts == policy.max_attempts:
        limit: int | None = task.max_retries
        return limit
    return max_retries_of(call.job.max_attempts)


def _until(eta: datetime) -> timedelta:
    # A date without a zone is in UTC, as in Celery.
    aware = eta if eta.tzinfo is not None else eta.replace(tzinfo=UTC)
    return aware - utc_now()


def _check(
    task: Any,
    request: Any,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> None:
    if (args is not None or kwargs is not None) and not _are_its_own(task, request, args, kwargs):
        raise CallRefusedError(
            f"task {task.name!r}: retry(args=..., kwargs=...) with other arguments: a job keeps the payload "
            "that it was accepted with; hand in a job with these (task.delay(...)) and raise Discard('...')"
        )
    for option, value in options.items():
        if option not in _WITHOUT_EFFECT and value is not None and not _is_its_own(request, option, value):
            raise CallRefusedError(
                f"task {task.name!r}: retry({option}=...): a job is retried as it was accepted; hand in "
                f"another with task.options(...).delay(...) and raise Discard('...')"
            )


def _are_its_own(
    task: Any, request: Any, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> bool:
    parameters = task.definition.signature.parameters
    own = parameters.bind(*request.args, **request.kwargs).arguments
    try:
        given = parameters.bind_partial(*(args or ()), **(kwargs or {})).arguments
    except TypeError:
        return False
    # With one of the two, the other is that of the request.
    is_partial = args is None or kwargs is None
    return bool(({**own, **given} if is_partial else given) == own)


def _is_its_own(request: Any, option: str, value: object) -> bool:
    of_job = {
        "queue": "routing_key",
        "routing_key": "routing_key",
        "exchange": "exchange",
        "priority": "priority",
    }
    return option in of_job and bool(request.delivery_info[of_job[option]] == value)


def decisive_error(call: RunningCall | None, error: BaseException) -> BaseException:
    """Return what decides over the attempt: a retry that was asked for before comes first."""
    asked = None if call is None else call.retry
    if asked is None or isinstance(error, (Discard, Reject)):
        return error
    return asked if asked.__traceback__ else asked.with_traceback(error.__traceback__)


def is_retried(
    policy: RetryPolicy, call: RunningCall | None, job: ClaimedJob, error: BaseException, *, counts: bool
) -> bool:
    """Tell whether the attempt that raised `error` is followed by another."""
    if isinstance(error, (Discard, Ignore, Reject)):
        return False
    if isinstance(error, JobRetry):
        return True
    is_wanted = isinstance(error, RetryLater) or (
        isinstance(error, policy.autoretry_for) and not isinstance(error, policy.dont_autoretry_for)
    )
    limit = max_retries_of(job.max_attempts) if call is None or call.max_retries is None else call.max_retries
    return is_wanted and (limit is None or job.failures + counts <= limit)
