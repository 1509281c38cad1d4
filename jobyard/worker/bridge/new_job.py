"""Makes a new job from a stock message: its task, payload, queue, priority, times and number of attempts."""

from datetime import timedelta
from math import ceil
from typing import Final, NamedTuple

from jobyard.broker.bridge.stock_message import StockMessage
from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import ForeignMessageError, HousekeepingTaskError, TaskNotFoundError
from jobyard.jobs.job import Cause, Failure, NewJob, new_id
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.declared_tasks import DeclaredTask, find_declared_task
from jobyard.jobs.retry import RetryPolicy
from jobyard.settings.queues import DEFAULT_PRIORITY, DEFAULT_QUEUE, HIGHEST_PRIORITY
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.queues import declared_queues
from jobyard.tasks.registry import find_public_task
from jobyard.worker.execution.stock_arguments import bind_arguments

# A job that is late already: the keeper records that it has expired.
AT_ONCE: Final = timedelta(milliseconds=1)
# How Celery itself would call the failure, in the column for an exception's class.
FAILURE_TYPE: Final = "ForeignMessage"


class ForeignJob(NamedTuple):
    """A job from a stock message; with a `failure` it is a dead letter from the start."""

    job: NewJob
    failure: Failure | None


def foreign_job(message: StockMessage, *, is_zero_first: bool) -> ForeignJob:
    """Return the job of a message; `is_zero_first` is how its broker reads priorities."""
    try:
        if message.fault:
            raise ForeignMessageError(message.fault)
        task = _public_task(message.task)
        payload = message.as_payload if task is None else _payload(task, message)
    except ForeignMessageError as error:
        return dead_letter(message, message.as_payload, str(error))
    job = _job(message, payload, _defaults(message.task, task), is_zero_first)
    return ForeignJob(_with_limits(_with_times(job, message), message, task), None)


def dead_letter(message: StockMessage, payload: str, reason: str) -> ForeignJob:
    """Return the dead letter of a message that cannot be used, with the reason."""
    options = DeclaredTask(message.task, message.task, DEFAULT_QUEUE.name, DEFAULT_PRIORITY, 1)
    failure = Failure(Cause.FOREIGN_MESSAGE, FAILURE_TYPE, reason[:10_000].replace("\x00", "�"))
    return ForeignJob(_job(message, payload, options, is_zero_first=True), failure)


def job_priority(priority: int, own: int, *, is_zero_first: bool) -> int:
    """Return the priority of a job for that of a message, 0 where it has none; `own` is its task's.

    The order of the messages is kept. Celery on Redis serves 0 first, which is also what a message without a
    priority has, so higher numbers come below the task's own; on RabbitMQ they come above it.
    """
    share = min(priority, HIGHEST_PRIORITY) / HIGHEST_PRIORITY
    return own - ceil(share * own) if is_zero_first else own + ceil(share * (HIGHEST_PRIORITY - own))


def _payload(task: AnyDefinition, message: StockMessage) -> str:
    return task.dump(bind_arguments(task, message.args, message.kwargs))


def _public_task(name: str) -> AnyDefinition | None:
    try:
        return find_public_task(name)
    except TaskNotFoundError:
        return None
    except HousekeepingTaskError as error:
        raise ForeignMessageError(str(error)) from error


def _defaults(name: str, task: AnyDefinition | None) -> DeclaredTask:
    if task is not None:
        declared = task.declaration
        return DeclaredTask(name, task.name, declared.queue, declared.priority, declared.policy.max_attempts)
    known = find_declared_task(get_ledger().database, name)
    unknown = DeclaredTask(name, name, DEFAULT_QUEUE.name, DEFAULT_PRIORITY, RetryPolicy().max_attempts)
    return known or unknown


def _job(message: StockMessage, payload: str, options: DeclaredTask, is_zero_first: bool) -> NewJob:
    queue = message.queue if message.queue in declared_queues() else options.queue
    return NewJob(
        id=new_id(),
        task=options.task,
        payload=payload,
        queue=queue,
        priority=job_priority(message.priority, options.priority, is_zero_first=is_zero_first),
        # A stock worker may have used up some of them.
        max_attempts=max(1, options.max_attempts - message.retries),
        external_id=message.id,
        headers=message.own_headers,
    )


def _with_times(job: NewJob, message: StockMessage) -> NewJob:
    now = utc_now()
    if message.eta is not None and message.eta > now:
        job = job._replace(run_at=message.eta)
    if message.expires is not None:
        job = job._replace(expires_in=max(message.expires - now, AT_ONCE))
    return job


def _with_limits(job: NewJob, message: StockMessage, task: AnyDefinition | None) -> NewJob:
    if task is None or not any(message.limits):
        return job
    hard, soft = message.limits
    soft, hard = task.limits_of_call(soft, hard)
    return job._replace(time_limit=hard, soft_time_limit=soft)
