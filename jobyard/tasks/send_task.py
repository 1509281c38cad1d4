"""`send_task`: calls a task by its name, also one that this process does not have."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter

from jobyard.broker.bridge.message_payload import call_as_payload
from jobyard.jobs.errors import TaskNotFoundError, UnknownTaskNameError
from jobyard.jobs.job import NewJob
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.declared_tasks import declared_task_names, find_declared_task
from jobyard.tasks.celery_call import CeleryCall, celery_arguments, celery_call
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.handle import JobHandle, accepted_handle
from jobyard.tasks.registry import find_public_task, known_public_task
from jobyard.tasks.submission import commit, commit_within, new_job, new_job_of


def send_task(
    name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
) -> JobHandle[Any]:
    """Call a task by its name, with the options of `apply_async`; returns once the job is durable.

    A call of a task that this process has is checked here and now. For one that the ledger alone knows,
    because a worker or another program has declared it, the worker checks it: a call that does not fit is a
    dead letter with the cause `foreign_message`.

    Raises `UnknownTaskNameError` for a name that no process has declared, and what `apply_async` raises.
    """
    return send_named(name, args, kwargs, options)


def send_named(
    name: str,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    *,
    priority_needs_setting: bool = False,
) -> JobHandle[Any]:
    """As `send_task`; `priority_needs_setting` is as in `jobyard/tasks/celery_priority.py`."""
    call = celery_call(options, priority_needs_setting=priority_needs_setting)
    arguments = celery_arguments(args, kwargs)
    adapter: TypeAdapter[Any] | None = None
    task, new = known_public_task(name), None
    if task is None:
        new = _job_of_ledgers_task(name, *arguments, call)
    if new is None:
        task = task or _task_of_application(name)
        payload = task.dump(task.signature.payload(*arguments))
        new, adapter = new_job(task, payload, call.options, call.idempotency_key), task.result_adapter
    [acceptance] = commit([new]) if call.connection is None else commit_within(call.connection, [new])
    return accepted_handle(acceptance, adapter, call.options.external_id, call.idempotency_key)


def _job_of_ledgers_task(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], call: CeleryCall
) -> NewJob | None:
    declared = find_declared_task(get_ledger().database, name)
    if declared is None:
        return None
    # Its parameters are known to its workers alone, so they name the arguments.
    payload = call_as_payload(name, args, kwargs)
    return new_job_of(declared, payload, call.options, call.idempotency_key)


def _task_of_application(name: str) -> AnyDefinition:
    try:
        return find_public_task(name)
    except TaskNotFoundError as error:
        known = sorted({*error.known, *declared_task_names(get_ledger().database)})
        raise UnknownTaskNameError(name, known, get_close_matches(name, known)) from None
