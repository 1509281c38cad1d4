"""Calls receivers, hooks and integrations around one attempt, in the order that `lifecycle.py` describes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from typing import Any, Final

import structlog
from billiard.einfo import ExceptionInfo
from celery import _state as celery_state
from celery import signals, states
from celery.app.task import Context, Task
from celery.exceptions import Retry
from celery.utils.objects import mro_lookup

from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import Failed
from jobyard.tasks.task_options import HOOKS

log = structlog.get_logger()

SENTRY: Final = "sentry_sdk.integrations.celery"  # it is loaded where a program has set Sentry up for Celery

Capture = Callable[[BaseException, bool], None]


class ReportedLifecycle:
    """Reports one attempt; `args`, `kwargs` and the id are those of the request."""

    def __init__(self, task: Any, request: Context) -> None:
        self._task, self._request = task, request
        self._hooks = hooks_of(task)
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


def hooks_of(task: Any) -> frozenset[str]:
    """Return the names of the hooks that the class of a task overrides."""
    task_class: Any = type(task)
    return _hooks(task_class)


@cache
def _hooks(task_class: Any) -> frozenset[str]:
    # As Celery's `task_has_custom` does, which takes a task.
    celery: Any = {"stop": {Task, object}, "monkey_patched": [Task.__module__]}
    return frozenset(hook for hook in HOOKS if mro_lookup(task_class, hook, **celery))


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
