"""Turns payloads into accepted jobs: checks them, commits them to the ledger, and publishes them."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Final

from pydantic import BaseModel

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.broker.celery_app import app
from jobyard.jobs.errors import IdempotencyConflictError
from jobyard.jobs.files.claim_checks import PAYLOAD, get_claim_checks
from jobyard.jobs.job import Acceptance, NewJob, Verdict, new_id
from jobyard.jobs.ledger.grouped_ledger import get_grouped_ledger
from jobyard.jobs.ledger.in_transaction import (
    AsyncTransaction,
    Transaction,
    accept_within,
    accept_within_async,
    check_async_transaction,
    check_transaction,
)
from jobyard.jobs.reading.declared_tasks import DeclaredTask
from jobyard.settings import get_settings
from jobyard.tasks.accepted import report_accepted
from jobyard.tasks.app_defaults import Router
from jobyard.tasks.celery_priority import priority_of
from jobyard.tasks.context import parent_job_id
from jobyard.tasks.definition import AnyDefinition, soft_and_hard
from jobyard.tasks.options import JobOptions, PayloadWithOptions
from jobyard.tasks.queues import check_queue, record_queue

LATER_OPTIONS: Final = frozenset({"external_id", "headers", "time_limit", "soft_time_limit"})


def new_job(
    task: AnyDefinition, payload: str, options: JobOptions, idempotency_key: str | None = None
) -> NewJob:
    """Return a new job; `payload` is JSON text as the task's model dumps it.

    Raises `QueueNotFoundError` for an undeclared queue.
    """
    declared = task.declaration
    queue, priority = declared.queue, declared.priority
    if task.router is not None:
        queue, priority = _routed(task, task.router, payload, options)
    known = DeclaredTask(task.name, task.name, queue, priority, declared.policy.max_attempts)
    return new_job_of(known, payload, options, idempotency_key, limits=task.limits_of_call)


def _routed(task: AnyDefinition, router: Router, payload: str, options: JobOptions) -> tuple[str, int]:
    args, kwargs = task.signature.arguments(task.decode(payload))
    given = options.model_dump(exclude_none=True, exclude_defaults=True)
    route = router(task.name, args, kwargs, given, app.tasks.get(task.name))
    queue = route.get("queue", task.declaration.queue)
    if options.queue is None:
        check_queue(queue)
    if route.get("priority") is None:
        return queue, task.declaration.priority
    return queue, priority_of(route["priority"], needs_setting=True)


def new_job_of(
    task: DeclaredTask,
    payload: str,
    options: JobOptions,
    idempotency_key: str | None = None,
    *,
    limits: Callable[[float | None, float | None], tuple[float, float]] = soft_and_hard,
) -> NewJob:
    """Return a new job of a task of which the ledger alone may know, as `new_job` does.

    `limits` completes the soft and the hard limit of the call.
    """
    if options.queue is not None:
        check_queue(options.queue)
    soft, hard = _limits_of(options, limits)
    return NewJob(
        id=new_id(),
        task=task.task,
        payload=payload,
        queue=options.queue or task.queue,
        priority=task.priority if options.priority is None else options.priority,
        max_attempts=options.max_attempts or task.max_attempts,
        delay=options.delay or timedelta(0),
        run_at=options.run_at,
        expires_in=options.expires_in,
        unique_key=options.unique_key,
        tags=tuple(dict.fromkeys(options.tags)),
        parent=parent_job_id(),
        idempotency_key=idempotency_key,
        request_hash=_request_hash(task.task, payload, options) if idempotency_key else None,
        external_id=options.external_id,
        headers=options.headers,
        time_limit=hard,
        soft_time_limit=soft,
    )


def _limits_of(
    options: JobOptions, limits: Callable[[float | None, float | None], tuple[float, float]]
) -> tuple[float | None, float | None]:
    given = [
        limit.total_seconds() if limit else None for limit in (options.soft_time_limit, options.time_limit)
    ]
    return limits(*given) if any(given) else (None, None)


def _request_hash(task_name: str, payload: str, options: JobOptions) -> str:
    # What most calls do without counts where it is given, so that keys of an earlier version still fit.
    without = {name for name in LATER_OPTIONS if getattr(options, name) is None}
    text = options.model_dump_json(exclude=without)
    return sha256("\n".join((task_name, payload, text)).encode()).hexdigest()


def has_large_payload(new_jobs: Sequence[NewJob]) -> bool:
    """Tell whether `store_large_payloads` would write to the file store, which may take long."""
    checks = get_claim_checks()
    return any(checks.is_large(new.payload) for new in new_jobs)


def store_large_payloads(new_jobs: Sequence[NewJob]) -> list[NewJob]:
    """Store large payloads as files, and return the jobs with references to them."""
    return [_store_large_payload(new) for new in new_jobs]


def _store_large_payload(new: NewJob) -> NewJob:
    payload = get_claim_checks().check_in(new.id, PAYLOAD, new.payload)
    return new if payload is new.payload else new._replace(payload=payload)


def submit(
    task: AnyDefinition,
    payloads: Sequence[BaseModel | PayloadWithOptions],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[Acceptance]:
    """Commit jobs in one transaction and publish those that are due.

    Raises `IdempotencyConflictError` where the key was used for another request, `LedgerUnavailableError`
    where nothing could be written, and `OutcomeUnknownError` where that is not known.
    """
    return commit(new_jobs(task, payloads, options, idempotency_key))


def commit(new: Sequence[NewJob]) -> list[Acceptance]:
    """Commit and publish jobs; raises as `submit` does."""
    for queue in {job.queue for job in new}:
        record_queue(queue)
    stored = store_large_payloads(new)
    acceptances = get_accept_and_publish()(get_grouped_ledger().accept, stored)
    report_accepted(stored, acceptances)
    return _raise_on_conflict(acceptances, new)


def commit_within(transaction: Transaction, new: Sequence[NewJob]) -> list[Acceptance]:
    """Write jobs in the caller's transaction, as `submit_within` does; in test mode they run at once."""
    if get_settings().tasks.eager:
        check_transaction(transaction)
        return commit(new)
    return _raise_on_conflict(accept_within(transaction, new), new)


def submit_within(
    transaction: Transaction,
    task: AnyDefinition,
    payloads: Sequence[BaseModel | PayloadWithOptions],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[Acceptance]:
    """Write jobs in the caller's transaction; a keeper publishes them once it is committed.

    Large payloads stay in their rows, because a file could not be rolled back.
    """
    return commit_within(transaction, new_jobs(task, payloads, options, idempotency_key))


async def submit_within_async(
    transaction: AsyncTransaction,
    task: AnyDefinition,
    payloads: Sequence[BaseModel | PayloadWithOptions],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[Acceptance]:
    """Like `submit_within`, for asynchronous connections."""
    if get_settings().tasks.eager:
        check_async_transaction(transaction)
        return await asyncio.to_thread(submit, task, payloads, options, idempotency_key)
    new = new_jobs(task, payloads, options, idempotency_key)
    return _raise_on_conflict(await accept_within_async(transaction, new), new)


def new_jobs(
    task: AnyDefinition,
    payloads: Sequence[BaseModel | PayloadWithOptions],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[NewJob]:
    """Return new jobs, one for each payload; one with options of its own has the others' besides."""
    if options.external_id is not None and len(payloads) > 1:
        raise ValueError("one external_id for many payloads would make one job only: give each its own")
    bulk = new_id()
    # A key is one job's, and a router may send each call to another queue.
    is_alike = idempotency_key is None and task.router is None
    template = new_job(task, "", options) if is_alike else None
    return [
        _with_own_options(task, payload, options, bulk)
        if isinstance(payload, PayloadWithOptions)
        else template.copy_with_payload(task.dump(payload))
        if template is not None
        else new_job(task, task.dump(payload), options, idempotency_key)
        for payload in payloads
    ]


def _with_own_options(task: AnyDefinition, own: PayloadWithOptions, options: JobOptions, bulk: str) -> NewJob:
    new = new_job(task, task.dump(own.payload), options.updated(own.options), own.idempotency_key)
    return new if own.idempotency_key is None else new._replace(bulk=bulk)


def _raise_on_conflict(acceptances: list[Acceptance], new: Sequence[NewJob]) -> list[Acceptance]:
    for acceptance, job in zip(acceptances, new, strict=True):
        if acceptance.verdict is Verdict.CONFLICT:
            raise IdempotencyConflictError(job.idempotency_key or "")
    return acceptances
