"""One attempt at one claimed job: fetch, decode, call, encode, store; and what became of it. Touches no
ledger."""

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

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import ClaimCheckError, Discard, ResultRefusedError, RetryLater
from jobyard.jobs.files.claim_checks import RESULT, get_claim_checks, is_check
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Failure, Outcome, Succeeded
from jobyard.jobs.retry import retry_delay
from jobyard.settings.secrets import masked_text
from jobyard.tasks.context import JobContext, running
from jobyard.tasks.definition import AnyDefinition

MAX_MESSAGE_LENGTH = 10_000
MAX_TRACEBACK_LENGTH = 50_000
MAX_TYPE_LENGTH = 200
WITHOUT_STORE = timedelta(seconds=15)  # until a payload is asked for again that could not be fetched
SOFT_LIMIT = SoftTimeLimitExceeded.__qualname__

# A task that calls sys.exit, runs out of memory or is cancelled has failed; its worker goes on.
_TAKEN = (Exception, SystemExit, asyncio.CancelledError)


class _NothingToRunError(Exception):
    """The attempt is over before it has begun."""

    def __init__(self, outcome: Failed) -> None:
        super().__init__()
        self.outcome = outcome


def attempt(task: AnyDefinition, job: ClaimedJob) -> Outcome:
    """Run one attempt to its end; whatever the task raises becomes a `Failed`."""
    process = os.getpid()
    with _named(job):
        try:
            payload = _fetch_and_decode(task, job)
            returned = task.call(payload)
            return _store(job, task.encode(returned))
        except _NothingToRunError as nothing:
            return nothing.outcome
        except _TAKEN as error:
            if os.getpid() != process:
                raise  # in a child that the task has forked, whose end this is
            return failed(task, job, error)


async def attempt_async(
    task: AnyDefinition, job: ClaimedJob, interruption: Callable[[], BaseException | None]
) -> Outcome:
    """Run one attempt of an `async def` to its end, on the event loop that this is awaited on.

    It is interrupted by cancelling it; `interruption` says then what for.
    """
    with _named(job):
        try:
            # The file store blocks, and the event loop has other attempts to run.
            if is_check(job.payload):
                payload = await asyncio.to_thread(_fetch_and_decode, task, job)
            else:
                payload = _fetch_and_decode(task, job)
            text = task.encode(await task.function(payload))
            is_large = get_claim_checks().is_large(text)
            return await asyncio.to_thread(_store, job, text) if is_large else _store(job, text)
        except _NothingToRunError as nothing:
            return nothing.outcome
        except _TAKEN as error:
            asked = interruption() if isinstance(error, asyncio.CancelledError) else None
            if asked is None:
                return failed(task, job, error)
            asked.with_traceback(error.__traceback__)
            if isinstance(asked, Exception):
                return failed(task, job, asked)
            raise asked from None


@contextmanager
def _named(job: ClaimedJob) -> Iterator[None]:
    in_logs = bind_contextvars(job_id=job.id, attempt=job.attempt)
    try:
        with running(JobContext(job.id, job.attempt)):
            yield
    finally:
        reset_contextvars(**in_logs)


def _fetch_and_decode(task: AnyDefinition, job: ClaimedJob) -> Any:
    try:
        return task.decode(get_claim_checks().fetch(job.id, job.payload))
    except ValidationError as error:
        failure = Failure(Cause.INVALID_PAYLOAD, "ValidationError", _shorten(str(error)))
        raise _NothingToRunError(_dead(job, failure)) from error
    except ClaimCheckError as error:
        raise _NothingToRunError(_without_payload(task, job, error)) from error


def _without_payload(task: AnyDefinition, job: ClaimedJob, error: ClaimCheckError) -> Failed:
    if error.is_lost:
        return _dead(job, Failure(Cause.INVALID_PAYLOAD, type(error).__qualname__, str(error)))
    return failed(task, job, RetryLater(WITHOUT_STORE, str(error), counts=False))


def _store(job: ClaimedJob, text: str) -> Succeeded:
    result = get_claim_checks().check_in(job.id, f"{RESULT}-{job.attempt}", text)
    return Succeeded(job.id, job.attempt, result)


def failed(task: AnyDefinition, job: ClaimedJob, error: BaseException) -> Failed:
    """Return what becomes of a job whose attempt raised `error`."""
    failure = _describe(task, error)
    wanted = error.delay if isinstance(error, RetryLater) else None
    counts = not isinstance(error, RetryLater) or error.counts
    is_worth_another = isinstance(error, (RetryLater, *task.policy.autoretry_for))
    has_another = job.failures + counts < job.max_attempts
    if not (is_worth_another and has_another):
        return _dead(job, failure)
    delay = retry_delay(task.policy, job.failures + 1, wanted=wanted)
    if _is_too_old(task, job, delay):
        words = f"{failure.message} (not tried again: older than {task.declaration.max_age} s by then)"
        return _dead(job, replace(failure, message=words))
    return Failed(job.id, job.attempt, failure, retry_in=delay, counts=counts)


def _is_too_old(task: AnyDefinition, job: ClaimedJob, delay: timedelta) -> bool:
    max_age = task.declaration.max_age
    return max_age is not None and utc_now() + delay - job.created_at > timedelta(seconds=max_age)


def _dead(job: ClaimedJob, failure: Failure) -> Failed:
    return Failed(job.id, job.attempt, failure, retry_in=None)


def _describe(task: AnyDefinition, error: BaseException) -> Failure:
    cause, kind = _cause(error), type(error).__qualname__
    words = f"stopped at its limit of {task.soft_limit} s" if kind == SOFT_LIMIT else _words_of(error)
    expected = cause in (Cause.DISCARDED, Cause.RETRY_LATER, Cause.RESULT_REFUSED)
    trace = None if expected else _shorten(_traceback_of(error), MAX_TRACEBACK_LENGTH)
    return Failure(cause, _shorten(kind)[:MAX_TYPE_LENGTH], _shorten(words), trace)


def _words_of(error: BaseException) -> str:
    try:
        return str(error) or type(error).__qualname__
    except Exception as another:  # an exception may be as wrong as anything else
        return f"an exception whose words cannot be told: {type(another).__qualname__}"


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
        case ResultRefusedError():
            return Cause.RESULT_REFUSED
        case MemoryError():
            return Cause.OUT_OF_MEMORY
        case SoftTimeLimitExceeded():
            return Cause.TIME_LIMIT
    return Cause.EXCEPTION


def _shorten(words: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    in_all = len(words)
    # No ledger keeps half a character (an undecodable file name has them), PostgreSQL no NUL; and nobody
    # reads a megabyte of it.
    # Twice as much as is kept: a secret that is cut in two would not be known for one.
    words = masked_text(words[: 2 * limit].replace("\x00", "�").encode(errors="replace").decode())
    return words if in_all <= limit else f"{words[:limit]}… ({in_all} characters in all)"
