"""What is called around one attempt: Celery's task signals and the hooks of a task's base class.

They hear of jobs, with Celery's arguments and in Celery's order (`celery/app/trace.py`): `task_prerun`,
`before_start`, the function; then `on_success` and `task_success`, or `on_failure` and `task_failure`, or
`on_retry` and `task_retry`; then `after_return` and `task_postrun`. All of it happens on the attempt's own
thread or event loop, within its time limits, and before the ledger has the outcome. What a receiver or a
hook raises is logged, and changes no outcome; only `before_start`, which Celery counts as part of the task,
can fail an attempt.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from typing import Any, Final, Protocol

import structlog
from billiard.einfo import ExceptionInfo
from celery import _state as celery_state
from celery import signals, states
from celery.app.task import Context, Task
from celery.exceptions import Retry
from celery.utils.objects import mro_lookup

from jobyard.broker.celery_app import app
from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import ClaimedJob, Failed
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.celery_request import celery_request

log = structlog.get_logger()

HOOKS: Final = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
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
SENTRY: Final = "sentry_sdk.integrations.celery"  # it is loaded where a program has set Sentry up for Celery

Capture = Callable[[BaseException, bool], None]


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
    task = app.tasks.get(definition.name)
    if task is None or not (any(RECEIVERS) or SENTRY in sys.modules or _hooks_of(task)):
        return SILENT
    return _Reporting(task, celery_request(definition, job, payload))


def report_abandoned(
    definition: AnyDefinition, job: ClaimedJob, error: BaseException, outcome: Failed
) -> None:
    """Report the failure of an attempt that was left behind at its hard limit, on behalf of its thread."""
    try:
        lifecycle = lifecycle_of(definition, job, definition.decode(job.payload))
        if isinstance(lifecycle, _Reporting):
            lifecycle.abandoned(_raised(error), outcome)
    except Exception:
        log.exception("the end of an abandoned attempt was not reported", job_id=job.id)


def _raised(error: BaseException) -> BaseException:
    """Return an exception that nothing has raised yet with a traceback, which `ExceptionInfo` needs."""
    try:
        raise error
    except type(error) as raised:
        return raised


def _hooks_of(task: Any) -> frozenset[str]:
    task_class: Any = type(task)
    return _hooks(task_class)


@cache
def _hooks(task_class: Any) -> frozenset[str]:
    # As Celery's `task_has_custom` does, which takes a task.
    celery: Any = {"stop": {Task, object}, "monkey_patched": [Task.__module__]}
    return frozenset(hook for hook in HOOKS if mro_lookup(task_class, hook, **celery))


class _Reporting:
    """Reports one attempt; `args`, `kwargs` and the id are those of the request."""

    def __init__(self, task: Any, request: Context) -> None:
        self._task, self._request = task, request
        self._hooks = _hooks_of(task)
        self._state: str | None = None
        self._retval: Any = None
        self._began = monotonic()
        self._surroundings = ExitStack()
        self._capture: Capture | None = None
        self._has_begun = False

    def begin(self) -> None:
        request = self._request
        self._has_begun = True
        with _logged("an integration", request):
            self._capture = self._surroundings.enter_context(_surroundings(self._task, request))
        self._send(
            signals.task_prerun,
            task_id=request.id,
            task=self._task,
            args=request.args,
            kwargs=request.kwargs,
        )
        self._began = monotonic()
        if "before_start" in self._hooks:
            with _current(self._task, request):
                self._task.before_start(request.id, request.args, request.kwargs)

    def succeeded(self, returned: Any) -> None:
        self._state, self._retval = states.SUCCESS, returned
        runtime = monotonic() - self._began
        self._call("on_success", returned, self._request.id, self._request.args, self._request.kwargs)
        self._send(signals.task_success, result=returned, runtime=runtime)

    def failed(self, error: BaseException, outcome: Failed) -> None:
        if self._capture is not None:
            with _logged("an integration", self._request):
                self._capture(error, outcome.retry_in is None)
        if outcome.retry_in is None:
            self._failed_for_good(error)
        else:
            self._will_be_retried(error, outcome)

    def _failed_for_good(self, error: BaseException) -> None:
        request = self._request
        self._state, self._retval = states.FAILURE, error
        with _logged("task_failure", request):
            info = _exception_info(error)
            self._call("on_failure", error, request.id, request.args, request.kwargs, info)
            self._send(
                signals.task_failure,
                task_id=request.id,
                exception=error,
                args=request.args,
                kwargs=request.kwargs,
                traceback=error.__traceback__,
                einfo=info,
            )

    def _will_be_retried(self, error: BaseException, outcome: Failed) -> None:
        request = self._request
        with _logged("task_retry", request):
            reason = error if isinstance(error, Retry) else _retry_for(error, outcome)
            self._state, self._retval = states.RETRY, reason
            info = _exception_info(reason, error.__traceback__)
            self._call("on_retry", reason.exc, request.id, request.args, request.kwargs, info)
            self._send(signals.task_retry, request=request, reason=reason, einfo=info)

    def ignored(self, error: BaseException) -> None:
        self._state, self._retval = states.IGNORED, error

    def abandoned(self, error: BaseException, outcome: Failed) -> None:
        """Report the failure of an attempt that has begun elsewhere, and that ends there, too."""
        with _surroundings(self._task, self._request, is_begun=True) as self._capture:
            self.failed(error, outcome)
        self.return_from()

    def return_from(self) -> None:
        """Call `after_return`, unless the attempt was interrupted, ignored or is to be retried."""
        if self._state in (states.SUCCESS, states.FAILURE):
            request = self._request
            self._call(
                "after_return", self._state, self._retval, request.id, request.args, request.kwargs, None
            )

    def end(self) -> None:
        if not self._has_begun:
            return
        self.return_from()
        self._send(
            signals.task_postrun,
            task_id=self._request.id,
            task=self._task,
            args=self._request.args,
            kwargs=self._request.kwargs,
            retval=self._retval,
            state=self._state,
        )
        with _logged("an integration", self._request):
            self._surroundings.close()
        # The exception knows the frames that know this object: a circle, which would keep the payload.
        self._retval = None

    def _call(self, hook: str, *arguments: Any) -> None:
        if hook in self._hooks:
            with _logged(hook, self._request), _current(self._task, self._request):
                getattr(self._task, hook)(*arguments)

    def _send(self, signal: Any, **arguments: Any) -> None:
        if signal.receivers:
            with _logged(signal.name, self._request), _current(self._task, self._request):
                signal.send(sender=self._task, **arguments)


@contextmanager
def _current(task: Any, request: Context) -> Iterator[None]:
    """Make a task and its request the current ones for as long as something is called that may ask for them.

    Celery's stacks belong to a thread, and the coroutines of one thread take turns: so not for longer.
    """
    stack: Any = celery_state
    stack._task_stack.push(task)
    task.request_stack.push(request)
    try:
        yield
    finally:
        task.request_stack.pop()
        stack._task_stack.pop()


@contextmanager
def _logged(what: str, request: Context) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit):
        log.exception("raised where a job is reported, which changes nothing", what=what, job_id=request.id)


def _surroundings(
    task: Any, request: Context, *, is_begun: bool = False
) -> AbstractContextManager[Capture | None]:
    if SENTRY not in sys.modules:
        return nullcontext()
    # Imported where a program has Sentry: it is no dependency.
    from jobyard.integrations.sentry import attempt_scope

    return attempt_scope(task, request, is_begun=is_begun)


def _retry_for(error: Any, outcome: Failed) -> Retry:
    assert outcome.retry_in is not None
    seconds: Any = outcome.retry_in.total_seconds()
    return Retry(exc=error, when=seconds)


def _exception_info(error: BaseException, traceback: Any = None) -> ExceptionInfo:
    return ExceptionInfo((type(error), error, traceback or error.__traceback__))
