"""Runs a message where Celery would trace a task, so that no receiver hears of a message as of a task.

A message names jobs. Celery's signals and the hooks of base classes are about jobs here
(`jobyard/worker/execution/lifecycle.py`); of a message Celery only learns how it ended, which Flower shows.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog
from billiard.einfo import ExceptionInfo
from celery import states
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Retry
from celery.utils.serialization import get_pickleable_exception

from jobyard.broker.message_ids import job_ids_of
from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import AttemptFailedError
from jobyard.worker.execution.message import run_message

log = structlog.get_logger()

# What a process does after each message, besides running it.
after_message: Final[list[Callable[[], None]]] = []


class MessageTracer:
    """The attribute `__trace__` of our tasks, which no tracer of Celery's or of an integration replaces."""

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        return self if task is None else partial(_trace, task)

    def __set__(self, task: Any, tracer: object) -> None:
        """Leave the tracer that Celery has built where it is: it would send signals about messages."""


def _trace(
    task: Any, message_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], request: Mapping[str, Any]
) -> trace_ok_t:
    """Run a message, and return what Celery's own tracer would return to the pool."""
    began = monotonic()
    try:
        run_message(task.definition, job_ids_of(args[0]), f"{request['hostname']}/{os.getpid()}")
    except MemoryError:
        raise  # as Celery's tracer does
    except Exception as error:
        return _failed(task, error)
    finally:
        for call in after_message:
            call()
    return trace_ok_t(None, None, monotonic() - began, "None")


def _failed(task: Any, error: Exception) -> trace_ok_t:
    is_retry = isinstance(error, Retry)
    if not (is_retry or isinstance(error, AttemptFailedError)):
        log.exception("message failed", task=task.name)
    exception = error if is_retry else get_pickleable_exception(error)
    info = ExceptionInfo((type(exception), exception, error.__traceback__))
    info.exception = exception  # without billiard's wrapping, as Celery's events show it
    return trace_ok_t(info, TraceInfo(states.RETRY if is_retry else states.FAILURE, error), 0.0, None)
