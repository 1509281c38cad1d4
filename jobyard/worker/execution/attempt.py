"""One attempt at one claimed job: fetch, decode, call, encode, store.

It returns an outcome and leaves the ledger to its caller.
"""

import asyncio
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError
from structlog.contextvars import bind_contextvars, reset_contextvars

from jobyard.broker.bridge.stock_message import is_message
from jobyard.integrations import django
from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import (
    ClaimCheckError,
    Discard,
    ExternalFailedError,
    ExternalNoAnswerError,
    ForeignMessageError,
    ResultRefusedError,
    RetryLater,
)
from jobyard.jobs.files.claim_checks import RESULT, get_claim_checks, is_check
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Failure, Outcome, PutOff, Succeeded
from jobyard.jobs.retry import retry_delay
from jobyard.settings.secrets import masked_text
from jobyard.tasks.context import JobContext, running
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.lifecycle import SILENT, Lifecycle, lifecycle_of
from jobyard.worker.execution.limits import limits_of
from jobyard.worker.execution.other_version import unreadable_payload
from jobyard.worker.execution.stock_arguments import bind_stock_message

MAX_MESSAGE_LENGTH = 10_000
MAX_TRACEBACK_LENGTH = 50_000
MAX_TYPE_LENGTH = 200
REFETCH_PAYLOAD_AFTER = timedelta(seconds=15)  # the delay of a retry after a payload could not be fetched
SOFT_LIMIT = SoftTimeLimitExceeded.__qualname__

# A task that calls sys.exit, runs out of memory or is cancelled has failed, and its worker goes on.
_CAUGHT = (Exception, SystemExit, asyncio.CancelledError)

# The message says it all, and there is no traceback.
_EXPECTED = (Cause.DISCARDED, Cause.RETRY_LATER, Cause.RESULT_REFUSED, Cause.EXTERNAL_NO_ANSWER)


class _UnusablePayloadError(Exception):
    """The payload cannot be used, so the attempt ends with `outcome` before the task is called."""

    def __init__(self, outcome: Failed | PutOff) -> None:
        super().__init__()
        self.outcome = outcome


def attempt(task: AnyDefinition, job: ClaimedJob) -> Outcome:
    """Run one attempt to its end; any exception of the task becomes a `Failed`."""
    process, lifecycle = os.getpid(), SILENT
    with _job_context(job):
        try:
            payload = _fetch_and_decode(task, job)
            lifecycle = lifecycle_of(task, job, payload)
            lifecycle.begin()
            returned = task.call(payload)
            succeeded = _store(job, task.encode(returned))
            lifecycle.succeeded(returned)
            return succeeded
        except _UnusablePayloadError as unusable:
            return unusable.outcome
        except _CAUGHT as error:
            if os.getpid() != process:
                raise  # in a child that the task has forked, which this ends
            return _report_failure(lifecycle, task, job, error)
        finally:
            if os.getpid() == process:
                lifecycle.end()


async def attempt_async(
    task: AnyDefinition, job: ClaimedJob, get_interruption: Callable[[], BaseException | None]
) -> Outcome:
    """Run one attempt of an `async def` task to its end, on the current event loop.

    The supervisor interrupts it by cancelling it; `get_interruption` then returns the reason.
    """
    process, lifecycle = os.getpid(), SILENT
    with _job_context(job):
        try:
            # The file store blocks, and the event loop runs other attempts.
            if is_check(job.payload):
                payload = await asyncio.to_thread(_fetch_and_decode, task, job)
            else:
                payload = _fetch_and_decode(task, job)
            lifecycle = lifecycle_of(task, job, payload)
            lifecycle.begin()
            returned = await _call_coroutine(task, payload)
            text = task.encode(returned)
            is_large = get_claim_checks().is_large(text)
            succeeded = await asyncio.to_thread(_store, job, text) if is_large else _store(job, text)
            lifecycle.succeeded(returned)
            return succeeded
        except _UnusablePayloadError as unusable:
            return unusable.outcome
        except _CAUGHT as error:
            interruption = get_interruption() if isinstance(error, asyncio.CancelledError) else None
            if interruption is None:
                return _report_failure(lifecycle, task, job, error)
            interruption.with_traceback(error.__traceback__)
            if isinstance(interruption, Exception):
                return _report_failure(lifecycle, task, job, interruption)
            raise interruption from None
        finally:
            if os.getpid() == process:
                lifecycle.end()


async def _call_coroutine(task: AnyDefinition, payload: Any) -> Any:
    if not django.is_used():
        return await task.start(payload)
    async with django.closed_connections():
        return await task.start(payload)


def _report_failure(
    lifecycle: Lifecycle, task: AnyDefinition, job: ClaimedJob, error: BaseException
) -> Failed:
    outcome = outcome_of_failure(task, job, error)
    lifecycle.failed(error, outcome)
    return outcome


@contextmanager
def _job_context(job: ClaimedJob) -> Iterator[None]:
    in_logs = bind_contextvars(job_id=job.id, attempt=job.attempt)
    try:
        with running(JobContext(job.id, job.attempt)):
            yield
    finally:
        reset_contextvars(**in_logs)


def _fetch_and_decode(task: AnyDefinition, job: ClaimedJob) -> Any:
    try:
        text = get_claim_checks().fetch(job.id, job.payload)
        return bind_stock_message(task, text) if is_message(text) else task.decode(text)
    except ForeignMessageError as error:
        failure = Failure(Cause.FOREIGN_MESSAGE, type(error).__qualname__, _shorten(str(error)))
        raise _UnusablePayloadError(_dead_outcome(job, failure)) from error
    except ValidationError as error:
        failure = unreadable_payload(error)
        shortened = replace(failure, message=_shorten(failure.message))
        raise _UnusablePayloadError(PutOff(job.id, job.attempt, shortened)) from error
    except ClaimCheckError as error:
        raise _UnusablePayloadError(_outcome_without_payload(task, job, error)) from error


def _outcome_without_payload(task: AnyDefinition, job: ClaimedJob, error: ClaimCheckError) -> Failed:
    if error.is_lost:
        return _dead_outcome(job, Failure(Cause.INVALID_PAYLOAD, type(error).__qualname__, str(error)))
    return outcome_of_failure(task, job, RetryLater(REFETCH_PAYLOAD_AFTER, str(error), counts=False))


def _store(job: ClaimedJob, text: str) -> Succeeded:
    result = get_claim_checks().check_in(job.id, f"{RESULT}-{job.attempt}", text)
    return Succeeded(job.id, job.attempt, result)


def outcome_of_failure(task: AnyDefinition, job: ClaimedJob, error: BaseException) -> Failed:
    """Return the outcome of an attempt that raised `error`: dead, or retried after a delay."""
    failure = _describe(task, job, error)
    requested = error.delay if isinstance(error, RetryLater) else None
    counts = not isinstance(error, RetryLater) or error.counts
    progress = error.progress if isinstance(error, RetryLater) else None
    # `Discard` is an Exception, which `autoretry_for` may name as a whole.
    is_retryable = isinstance(error, (RetryLater, *task.policy.autoretry_for)) and not isinstance(
        error, Discard
    )
    has_attempts_left = job.failures + counts < job.max_attempts
    if not (is_retryable and has_attempts_left):
        return _dead_outcome(job, failure, progress)
    delay = retry_delay(task.policy, job.failures + 1, requested=requested)
    if _is_too_old(task, job, delay):
        message = f"{failure.message} (not retried: older than {task.declaration.max_age} s by then)"
        return _dead_outcome(job, replace(failure, message=message), progress)
    return Failed(job.id, job.attempt, failure, retry_in=delay, counts=counts, progress=progress)


def _is_too_old(task: AnyDefinition, job: ClaimedJob, delay: timedelta) -> bool:
    max_age = task.declaration.max_age
    return max_age is not None and utc_now() + delay - job.created_at > timedelta(seconds=max_age)


def _dead_outcome(job: ClaimedJob, failure: Failure, progress: str | None = None) -> Failed:
    return Failed(job.id, job.attempt, failure, retry_in=None, progress=progress)


def _describe(task: AnyDefinition, job: ClaimedJob, error: BaseException) -> Failure:
    cause, kind = _cause(error), type(error).__qualname__
    is_limit = kind == SOFT_LIMIT
    message = f"stopped at its limit of {limits_of(task, job).soft} s" if is_limit else _message_of(error)
    module, trace = type(error).__module__, None
    if isinstance(error, ExternalFailedError):
        module, kind, trace = error.module, error.kind, error.traceback
    elif cause not in _EXPECTED:
        trace = _traceback_of(error)
    return Failure(
        cause,
        _shorten(kind)[:MAX_TYPE_LENGTH],
        _shorten(message),
        trace and _shorten(trace, MAX_TRACEBACK_LENGTH),
        _shorten(module)[:MAX_TYPE_LENGTH],
    )


def _message_of(error: BaseException) -> str:
    try:
        return str(error) or type(error).__qualname__
    except Exception as str_error:  # the exception's own `__str__` may fail
        return f"an exception whose message cannot be read: {type(str_error).__qualname__}"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return "".join(traceback.format_tb(error.__traceback__))


def _cause(error: BaseException) -> Cause:
    match error:
        case Discard():
            return Cause.DISCARDED
        case RetryLater():
            return Cause.RETRY_LATER
        case ExternalNoAnswerError():
            return Cause.EXTERNAL_NO_ANSWER
        case ResultRefusedError():
            return Cause.RESULT_REFUSED
        case MemoryError():
            return Cause.OUT_OF_MEMORY
        case SoftTimeLimitExceeded():
            return Cause.TIME_LIMIT
    return Cause.EXCEPTION


def _shorten(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    length = len(text)
    # No ledger stores lone surrogates (an undecodable file name has them), and PostgreSQL stores no NUL.
    # The text is masked at twice the kept length, because half of a secret would not be recognised.
    text = masked_text(text[: 2 * limit].replace("\x00", "�").encode(errors="replace").decode())
    return text if length <= limit else f"{text[:limit]}… ({length} characters in all)"
