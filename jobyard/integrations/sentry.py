"""sentry-sdk's Celery integration, for jobs: one event for each failed attempt, in a scope of its own.

Sentry hangs on Celery's tracer, which runs messages and not jobs. So workers report attempts with this
module, wherever a program has set up `CeleryIntegration` (which `sentry_sdk.init` does by itself); it needs
no call. A failed attempt that is retried is a warning with the tag `will_retry`, and the last one an error.
What a task asks for (`RetryLater`, `Retry`, `Discard`), and what it declares as `throws`, is no event.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Final

import sentry_sdk
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from sentry_sdk.consts import OP, SPANSTATUS
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.tracing import Transaction, TransactionSource
from sentry_sdk.utils import event_from_exception

from jobyard.jobs.errors import Discard, RetryLater

Capture = Callable[[BaseException, bool], None]

ASKED_FOR: Final = (Discard, Ignore, Reject, Retry, RetryLater)
# A worker logs how each attempt ended, and Sentry would make a second event of that.
LOGGERS: Final = "jobyard.worker.execution.*"
# What Sentry shows for arguments, unless it may collect those of queues.
HIDDEN: Final = "[Filtered]"


@contextmanager
def attempt_scope(task: Any, request: Any, *, is_begun: bool = False) -> Iterator[Capture | None]:
    """Open a scope and a transaction for one attempt, and yield what reports its failure.

    An attempt that has begun elsewhere has its transaction there.
    """
    if sentry_sdk.get_client().get_integration(CeleryIntegration) is None:
        yield None
        return
    _ignore_loggers()
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.add_event_processor(partial(_describe, task, request))
        if is_begun:
            scope.set_transaction_name(task.name)
            yield partial(_capture, task, None)
            return
        transaction = sentry_sdk.continue_trace(
            request.headers or {},
            op=OP.QUEUE_TASK_CELERY,
            name=task.name,
            source=TransactionSource.TASK,
            origin=CeleryIntegration.origin,
        )
        transaction.set_status(SPANSTATUS.OK)
        job = {"task": task.name, "args": list(request.args), "kwargs": request.kwargs}
        with sentry_sdk.start_transaction(transaction, custom_sampling_context={"celery_job": job}):
            yield partial(_capture, task, transaction)


@cache
def _ignore_loggers() -> None:
    ignore_logger(LOGGERS)


def _capture(task: Any, transaction: Transaction | None, error: BaseException, is_final: bool) -> None:
    is_asked_for = isinstance(error, ASKED_FOR)
    if transaction is not None:
        transaction.set_status(SPANSTATUS.ABORTED if is_asked_for else SPANSTATUS.INTERNAL_ERROR)
    if is_asked_for or isinstance(error, task.throws):
        return
    event, hint = event_from_exception(
        error,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "celery", "handled": False},
    )
    event["level"] = "error" if is_final else "warning"
    event["tags"] = {"will_retry": str(not is_final).lower()}
    sentry_sdk.capture_event(event, hint=hint)


def _may_send_arguments(options: Mapping[str, Any]) -> bool:
    # Older versions of sentry-sdk know `send_default_pii` alone, and newer ones translate it.
    collected = options.get("data_collection") or {}
    return bool(collected.get("queues", options.get("send_default_pii")))


def _describe(task: Any, request: Any, event: Any, hint: Mapping[str, Any]) -> Any:
    """Add to an event what Sentry's own integration adds: the task, the job's id and its arguments."""
    event.setdefault("tags", {})["celery_task_id"] = request.id
    is_shown = _may_send_arguments(sentry_sdk.get_client().options)
    event.setdefault("extra", {})["celery-job"] = {
        "task_name": task.name,
        "args": request.args if is_shown else HIDDEN,
        "kwargs": request.kwargs if is_shown else HIDDEN,
    }
    if "exc_info" in hint and issubclass(hint["exc_info"][0], SoftTimeLimitExceeded):
        event["fingerprint"] = ["celery", "SoftTimeLimitExceeded", task.name]
    return event
