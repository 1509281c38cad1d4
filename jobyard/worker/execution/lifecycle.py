"""What is called around one attempt: Celery's task signals and the hooks of a task's base class.

They hear of jobs, with Celery's arguments and in Celery's order (`celery/app/trace.py`): `task_prerun`,
`before_start`, the function; then `on_success` and `task_success`, or `on_failure` and `task_failure`, or
`on_retry` and `task_retry`; then `after_return` and `task_postrun`. All of it happens on the attempt's own
thread or event loop, within its time limits, and before the ledger has the outcome. What a receiver or a
hook raises is logged, and changes no outcome; only `before_start`, which Celery counts as part of the task,
can fail an attempt.
"""

import sys
from typing import Any, Final, Protocol

import structlog
from celery import signals

from jobyard.broker.celery_app import app
from jobyard.jobs.job import ClaimedJob, Failed
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.celery_request import celery_request
from jobyard.worker.execution.reported_lifecycle import SENTRY, ReportedLifecycle, hooks_of
from jobyard.worker.execution.stored_payload import read_payload

log = structlog.get_logger()

# The lists to which Celery's signals add their receivers.
RECEIVERS: Final[tuple[list[Any], ...]] = tuple(
    signal.receivers
    for signal in (
        signals.task_prerun,
        signals.task_postrun,
        signals.task_success,
        signals.task_failure,
        signals.task_retry,
    )
)


class Lifecycle(Protocol):
    """What an attempt reports; `end` is always called, whatever was called before."""

    def begin(self) -> None:
        """Report that the function is about to be called; raises what `before_start` raises."""

    def succeeded(self, returned: Any) -> None:
        """Report what the function has returned, after it was written down as JSON."""

    def failed(self, error: BaseException, outcome: Failed) -> None:
        """Report what was raised, and whether the job is retried."""

    def ignored(self, error: BaseException) -> None:
        """Report an `Ignore`, of which Celery tells `task_postrun` alone."""

    def end(self) -> None:
        """Report that the attempt is over."""


class _Silent:
    """The lifecycle of an attempt that nothing listens to."""

    def begin(self) -> None: ...
    def succeeded(self, returned: Any) -> None: ...
    def failed(self, error: BaseException, outcome: Failed) -> None: ...
    def ignored(self, error: BaseException) -> None: ...
    def end(self) -> None: ...


SILENT: Final[Lifecycle] = _Silent()


def lifecycle_of(definition: AnyDefinition, job: ClaimedJob, payload: Any) -> Lifecycle:
    """Return what reports an attempt, which does nothing where no receiver and no hook is there."""
    task = _heard_task(definition)
    return SILENT if task is None else ReportedLifecycle(task, celery_request(definition, job, payload))


def _heard_task(definition: AnyDefinition) -> Any:
    """Return Celery's task, or None where no receiver and no hook hears of its attempts."""
    task = app.tasks.get(definition.name)
    is_heard = task is not None and (any(RECEIVERS) or SENTRY in sys.modules or hooks_of(task))
    return task if is_heard else None


def report_abandoned(
    definition: AnyDefinition, job: ClaimedJob, error: BaseException, outcome: Failed
) -> None:
    """Report the failure of an attempt that was left behind at its hard limit, on behalf of its thread."""
    task = _heard_task(definition)
    if task is None:
        return
    try:
        request = celery_request(definition, job, read_payload(definition, job.id, job.payload))
        ReportedLifecycle(task, request).abandoned(_raised(error), outcome)
    except Exception:
        log.exception("the end of an abandoned attempt was not reported", job_id=job.id)


def _raised(error: BaseException) -> BaseException:
    """Return an exception that nothing has raised yet with a traceback, which `ExceptionInfo` needs."""
    try:
        raise error
    except type(error) as raised:
        return raised
