"""How a payload becomes an accepted job: checked, committed to the ledger, and rung for."""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

from pydantic import BaseModel

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.jobs.errors import IdempotencyConflictError
from jobyard.jobs.files.claim_checks import PAYLOAD, get_claim_checks
from jobyard.jobs.job import Acceptance, NewJob, Verdict, new_id
from jobyard.jobs.ledger.grouped_ledger import get_grouped_ledger
from jobyard.jobs.ledger.in_transaction import (
    AsyncTransaction,
    Transaction,
    accept_within,
    accept_within_async,
)
from jobyard.tasks.context import running_job_id
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.options import JobOptions
from jobyard.tasks.queues import check_queue, note_queue


def new_job(
    task: AnyDefinition, payload: str, options: JobOptions, idempotency_key: str | None = None
) -> NewJob:
    """Return a job to be accepted; `payload` is JSON text as the task's model dumps it.

    Raises `QueueNotFoundError` for a queue that is not declared.
    """
    if options.queue is not None:
        check_queue(options.queue)
    declared = task.declaration
    return NewJob(
        id=new_id(),
        task=task.name,
        payload=payload,
        queue=options.queue or declared.queue,
        priority=declared.priority if options.priority is None else options.priority,
        max_attempts=options.max_attempts or declared.policy.max_attempts,
        delay=options.delay or timedelta(0),
        run_at=options.run_at,
        expires_in=options.expires_in,
        unique_key=options.unique_key,
        tags=tuple(dict.fromkeys(options.tags)),
        parent=running_job_id(),
        idempotency_key=idempotency_key,
        request_hash=_request_hash(task.name, payload, options) if idempotency_key else None,
    )


def _request_hash(task_name: str, payload: str, options: JobOptions) -> str:
    return sha256("\n".join((task_name, payload, options.model_dump_json())).encode()).hexdigest()


def has_large(new_jobs: Sequence[NewJob]) -> bool:
    """Tell whether `checked_in` has something to do, which takes as long as the file store does."""
    checks = get_claim_checks()
    return any(checks.is_large(new.payload) for new in new_jobs)


def checked_in(new_jobs: Sequence[NewJob]) -> list[NewJob]:
    """Return the jobs with their large payloads put into the file store."""
    return [_checked_in(new) for new in new_jobs]


def _checked_in(new: NewJob) -> NewJob:
    payload = get_claim_checks().check_in(new.id, PAYLOAD, new.payload)
    return new if payload is new.payload else new._replace(payload=payload)


def submit(
    task: AnyDefinition,
    payloads: Sequence[BaseModel],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[Acceptance]:
    """Commit jobs in one transaction and publish those that may start.

    Raises `IdempotencyConflictError` where the key was used for another request, and
    `LedgerUnavailableError` where nothing could be written.
    """
    new = checked_in(new_jobs(task, payloads, options, idempotency_key))
    note_queue(options.queue or task.declaration.queue)
    acceptances = get_accept_and_publish()(get_grouped_ledger().accept, new)
    return _without_conflicts(acceptances, idempotency_key)


def submit_within(
    transaction: Transaction,
    task: AnyDefinition,
    payloads: Sequence[BaseModel],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[Acceptance]:
    """Write jobs in the caller's transaction; a keeper rings for them once it is committed.

    Their payloads stay in their rows, however large: a file could not be rolled back.
    """
    new = new_jobs(task, payloads, options, idempotency_key)
    return _without_conflicts(accept_within(transaction, new), idempotency_key)


async def submit_within_async(
    transaction: AsyncTransaction,
    task: AnyDefinition,
    payloads: Sequence[BaseModel],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[Acceptance]:
    """As `submit_within`, for the asynchronous kinds of connection."""
    new = new_jobs(task, payloads, options, idempotency_key)
    return _without_conflicts(await accept_within_async(transaction, new), idempotency_key)


def new_jobs(
    task: AnyDefinition,
    payloads: Sequence[BaseModel],
    options: JobOptions,
    idempotency_key: str | None = None,
) -> list[NewJob]:
    """Return jobs to be accepted, one for each payload."""
    if idempotency_key is not None:
        return [new_job(task, task.dump(payload), options, idempotency_key) for payload in payloads]
    one = new_job(task, "", options)
    return [one.another(task.dump(payload)) for payload in payloads]


def _without_conflicts(acceptances: list[Acceptance], idempotency_key: str | None) -> list[Acceptance]:
    if any(acceptance.verdict is Verdict.CONFLICT for acceptance in acceptances):
        raise IdempotencyConflictError(idempotency_key or "")
    return acceptances
