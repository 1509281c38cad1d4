"""One attempt at one claimed job: fetch, decode, call, encode, store.

It returns an outcome and leaves the ledger to its caller.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from celery import states
from celery.exceptions import Ignore
from pydantic import ValidationError
from structlog.contextvars import bind_contextvars, reset_contextvars

from jobyard.integrations import django
from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import (
    ClaimCheckError,
    ForeignMessageError,
    ResultRefusedError,
    RetryLater,
)
from jobyard.jobs.files.claim_checks import RESULT, get_claim_checks, is_check
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Failure, Outcome, PutOff, Succeeded
from jobyard.jobs.retry import retry_delay
from jobyard.tasks.context import JobContext, inline_run, running
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.reported_state import StateReporter
from jobyard.tasks.retrying import decisive_error, is_retried
from jobyard.tasks.running_call import RunningCall, call_of, enter, leave
from jobyard.worker.execution.described_failure import MAX_TYPE_LENGTH, describe, shorten
from jobyard.worker.execution.lifecycle import SILENT, Lifecycle, lifecycle_of
from jobyard.worker.execution.other_version import unreadable_payload
from jobyard.worker.execution.stored_payload import read_payload

REFETCH_PAYLOAD_AFTER = timedelta(seconds=15)  # the delay of a retry after a payload could not be fetched

# A task that calls sys.exit, runs out of memory or is cancelled has failed, and its worker goes on.
_CAUGHT = (Exception, SystemExit, asyncio.CancelledError)


class _UnusablePayloadError(Exception):
    """The payload cannot be used, so the attempt ends with `outcome` before the task is called."""

    def __init__(self, outcome: Failed | PutOff) -> None:
        super().__init__()
        self.outcome = outcome


def attempt(task: AnyDefinition, job: ClaimedJob) -> Outcome:
    """Run one attempt to its end; any exception of the task becomes a `Failed`."""
    process, lifecycle = os.getpid(), SILENT
    with _job_context(task, job) as call:
        try:
            call.payload = _fetch_and_decode(task, job)
            lifecycle = lifecycle_of(task, job, call.payload)
            lifecycle.begin()
            returned = task.call(call.payload)
            if call.retry is not None:
                raise call.retry
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
                if call.reporter is not None:
                    call.reporter.flush()


async def attempt_async(
    task: AnyDefinition, job: ClaimedJob, get_interruption: Callable[[], BaseException | None]
) -> Outcome:
    """Run one attempt of an `async def` task to its end, on the current event loop.

    The supervisor interrupts it by cancelling it; `get_interruption` then returns the reason.
    """
    process, lifecycle = os.getpid(), SILENT
    with _job_context(task, job) as call:
        try:
            # The file store blocks, and the event loop runs other attempts.
            if is_check(job.payload):
                call.payload = await asyncio.to_thread(_fetch_and_decode, task, job)
            else:
                call.payload = _fetch_and_decode(task, job)
            lifecycle = lifecycle_of(task, job, call.payload)
            lifecycle.begin()
            returned = await _call_coroutine(task, call.payload)
            if call.retry is not None:
                raise call.retry
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
                if call.reporter is not None:
                    await asyncio.to_thread(call.reporter.flush)


async def _call_coroutine(task: AnyDefinition, payload: Any) -> Any:
    if not django.is_used():
        return await task.start(payload)
    async with django.closed_connections():
        return await task.start(payload)


def _report_failure(
    lifecycle: Lifecycle, task: AnyDefinition, job: ClaimedJob, error: BaseException
) -> Outcome:
    call = call_of(task)
    error = decisive_error(call, error)
    if isinstance(error, Ignore):
        lifecycle.ignored(error)
        return outcome_of_ignore(task, job, None if call is None else call.reporter)
    outcome = outcome_of_failure(task, job, error)
    lifecycle.failed(error, outcome)
    return outcome


@contextmanager
def _job_context(task: AnyDefinition, job: ClaimedJob) -> Iterator[RunningCall]:
    inline = inline_run()
    call = RunningCall(task, job, is_eager=inline is not None)
    in_logs = bind_contextvars(job_id=job.id, attempt=job.attempt)
    token = enter(call)
    try:
        with running(JobContext(job.id, job.attempt, inline)):
            yield call
    finally:
        leave(token)
        reset_contextvars(**in_logs)


def _fetch_and_decode(task: AnyDefinition, job: ClaimedJob) -> Any:
    try:
        return read_payload(task, job.id, job.payload)
    except ForeignMessageError as error:
        failure = Failure(Cause.FOREIGN_MESSAGE, type(error).__qualname__, shorten(str(error)))
        raise _UnusablePayloadError(_dead_outcome(job, failure)) from error
    except ValidationError as error:
        failure = unreadable_payload(error)
        shortened = replace(failure, message=shorten(failure.message))
        raise _UnusablePayloadError(PutOff(job.id, job.attempt, shortened)) from error
    except ClaimCheckError as error:
        raise _UnusablePayloadError(_outcome_without_payload(task, job, error)) from error


def _outcome_without_payload(task: AnyDefinition, job: ClaimedJob, error: ClaimCheckError) -> Failed:
    if error.is_lost:
        return _dead_outcome(job, Failure(Cause.INVALID_PAYLOAD, type(error).__qualname__, str(error)))
    return outcome_of_failure(task, job, RetryLater(REFETCH_PAYLOAD_AFTER, str(error), counts=False))


def _store(job: ClaimedJob, text: str) -> Succeeded:
    if inline_run():  # whose ledger has no files beside it
        return Succeeded(job.id, job.attempt, text)
    result = get_claim_checks().check_in(job.id, f"{RESULT}-{job.attempt}", text)
    return Succeeded(job.id, job.attempt, result)


def outcome_of_failure(task: AnyDefinition, job: ClaimedJob, error: BaseException) -> Failed:
    """Return the outcome of an attempt that raised `error`: dead, or retried after a delay."""
    if run := inline_run():
        run.error = error
    failure = describe(task, job, error)
    requested = error.delay if isinstance(error, RetryLater) else None
    counts = not isinstance(error, RetryLater) or error.counts
    progress = error.progress if isinstance(error, RetryLater) else None
    if not is_retried(task.policy, call_of(task), job, error, counts=counts):
        return _dead_outcome(job, failure, progress)
    delay = retry_delay(task.policy, job.failures + 1, requested=requested)
    if _is_too_old(task, job, delay):
        message = f"{failure.message} (not retried: older than {task.declaration.max_age} s by then)"
        return _dead_outcome(job, replace(failure, message=message), progress)
    return Failed(job.id, job.attempt, failure, retry_in=delay, counts=counts, progress=progress)


def outcome_of_ignore(task: AnyDefinition, job: ClaimedJob, reporter: StateReporter | None) -> Outcome:
    """Return the outcome of an attempt that raised Celery's `Ignore`: no result, or what it has reported.

    In Celery such a job keeps the state that `update_state` has set, which may be a final one.
    """
    if reporter is None or reporter.state not in (states.FAILURE, states.SUCCESS):
        return Succeeded(job.id, job.attempt, None)
    if reporter.state == states.SUCCESS:
        try:
            return _store(job, task.encode(reporter.meta))
        except ResultRefusedError as error:
            return outcome_of_failure(task, job, error)
    said = reporter.meta if isinstance(reporter.meta, Mapping) else {"exc_message": reporter.meta}
    kind, message = str(said.get("exc_type") or "Failure"), said.get("exc_message")
    failure = Failure(
        Cause.DISCARDED, shorten(kind)[:MAX_TYPE_LENGTH], shorten(str(message or "update_state(FAILURE)"))
    )
    return _dead_outcome(job, failure)


def _is_too_old(task: AnyDefinition, job: ClaimedJob, delay: timedelta) -> bool:
    max_age = task.declaration.max_age
    return max_age is not None and utc_now() + delay - job.created_at > timedelta(seconds=max_age)


def _dead_outcome(job: ClaimedJob, failure: Failure, progress: str | None = None) -> Failed:
    return Failed(job.id, job.attempt, failure, retry_in=None, progress=progress)
