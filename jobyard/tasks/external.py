"""`external(...)`: a task that a stock Celery worker runs, for jobs that are accepted and settled here.

The first attempt at such a job sends a message with the job's id, and puts the job off until its deadline.
`jobyard/worker/external_answers.py` makes it due as soon as there is an answer; the attempt that follows
records it. So a job that waits for its answer holds no slot of a worker.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from jobyard.broker.stock_celery import Answer, get_stock_celery
from jobyard.jobs.clock import utc_now
from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.errors import (
    Discard,
    ExternalFailedError,
    ExternalNoAnswerError,
    ResultRefusedError,
    RetryLater,
    TaskDeclarationError,
)
from jobyard.jobs.reading.job_queries import get_job
from jobyard.settings import ENV_PREFIX, get_settings
from jobyard.tasks.context import current_job
from jobyard.tasks.declare import task
from jobyard.tasks.task import Task

DEFAULT_STOCK_QUEUE: Final = "celery"
# The limit of one attempt, which waits for the broker and the result backend, and never for the stock worker.
ATTEMPT_SECONDS: Final = 60
# The pause after the broker or the result backend of the stock workers did not answer.
TRY_AGAIN_AFTER: Final = timedelta(seconds=15)

# The names of the external tasks that this process has declared.
external_tasks: Final[set[str]] = set()


class ExternalCall(BaseModel):
    """A call of a stock worker: since when it is tried, for which replay, and whether it has been sent."""

    since: datetime
    replays: int
    is_sent: bool = False


def external(
    name: str,
    *,
    deadline: timedelta,
    queue: str = DEFAULT_STOCK_QUEUE,
    result: Any = Any,
    aliases: tuple[str, ...] = (),
) -> Task[..., Any]:
    """Declare a task that stock Celery workers run, under their name for it.

    A job is sent at least once, as a message with the job's id, to `queue` at `JOBYARD_CELERY__BROKER_URL`;
    how it ended is read from `JOBYARD_CELERY__RESULT_BACKEND`, and its result must be of the type `result`.
    Without an answer `deadline` after it was first tried the job is dead with the cause `external_no_answer`.
    Raises `TaskDeclarationError`.
    """
    if deadline <= timedelta(0):
        raise TaskDeclarationError(f"external task {name!r}: deadline must be longer than zero seconds")
    if queue in get_settings().celery.queues:
        raise TaskDeclarationError(
            f"external task {name!r}: {ENV_PREFIX}CELERY__QUEUES names its queue {queue!r}, so Jobyard's own "
            "workers would take its messages back: give the stock workers another queue"
        )
    if get_settings().celery.result_backend is None:
        raise TaskDeclarationError(
            f"external task {name!r}: set {ENV_PREFIX}CELERY__RESULT_BACKEND to the result_backend of the "
            "workers that run it, where their answers are read"
        )
    call = _function(name, deadline, queue, result)
    declared: Task[..., Any] = task(name=name, max_retries=0, time_limit=ATTEMPT_SECONDS, aliases=aliases)(
        call
    )
    external_tasks.add(name)
    return declared


def _function(name: str, deadline: timedelta, queue: str, result: Any) -> Callable[..., Any]:
    adapter = TypeAdapter(result)

    def call(*args: Any, **kwargs: Any) -> Any:
        answer = _answer_or_later(name, args, kwargs, deadline, queue)
        if answer.failure is not None:
            raise ExternalFailedError(*answer.failure)
        try:
            return adapter.validate_python(answer.result)
        except ValidationError as error:
            raise ResultRefusedError(f"the result does not fit the task's result type: {error}") from error

    call.__annotations__["return"] = result
    call.__doc__ = f"Run by a stock Celery worker of the queue {queue!r}."
    return call


def _answer_or_later(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], deadline: timedelta, queue: str
) -> Answer:
    job = current_job()
    if job.is_eager:
        raise Discard(
            f"{name!r} is run by stock Celery workers, and where jobs run as they are handed in nothing else "
            "runs: replace the call in this test"
        )
    stock = get_stock_celery()
    replays = get_job(get_database(), job.job_id).replays
    call, before = ExternalCall(since=utc_now(), replays=replays), job.progress(ExternalCall)
    if before is not None and before.replays == replays:
        call = before
    try:
        if before is not None and before.replays != replays:
            stock.forget(job.job_id)  # what the call before the replay has left
        if (answer := stock.answer(job.job_id)) is not None:
            return answer
        if not call.is_sent:
            stock.send(name, args, kwargs, task_id=job.job_id, queue=queue)
            call.is_sent = True
    except Exception as error:
        reason = f"stock Celery's broker or result backend does not answer: {error!r:.300}"
        if utc_now() < call.since + deadline:
            raise RetryLater(TRY_AGAIN_AFTER, reason, counts=False, progress=call) from error
        raise ExternalNoAnswerError(_without_answer(deadline, queue, reason)) from error
    if (left := call.since + deadline - utc_now()) > timedelta(0):
        raise RetryLater(left, f"no answer from {queue!r} yet", counts=False, progress=call)
    reason = "no stock worker has run it in time, or none that stores its results where "
    raise ExternalNoAnswerError(
        _without_answer(deadline, queue, f"{reason}{ENV_PREFIX}CELERY__RESULT_BACKEND says")
    )


def _without_answer(deadline: timedelta, queue: str, reason: str) -> str:
    return f"no answer from {queue!r} within {deadline.total_seconds():g} s: {reason}"
