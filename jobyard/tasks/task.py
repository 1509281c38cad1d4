"""`@task` and `JobTask`: the Celery task around a definition, which submits jobs to the ledger."""

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Never,
    Protocol,
    TypeAlias,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from celery import Task
from pydantic import BaseModel

from jobyard.broker.celery_app import app
from jobyard.broker.message_ids import job_ids_of
from jobyard.jobs.errors import AttemptFailedError
from jobyard.jobs.job import Acceptance, Verdict
from jobyard.jobs.ledger.in_transaction import AsyncTransaction, Transaction
from jobyard.jobs.retry import RetryPolicy
from jobyard.settings.queues import DEFAULT_PRIORITY, DEFAULT_QUEUE, Queue
from jobyard.tasks.declaration import (
    Declaration,
    check_declaration,
    payload_and_result,
    refuse_unknown_options,
)
from jobyard.tasks.definition import AnyDefinition, TaskDefinition
from jobyard.tasks.handle import JobHandle
from jobyard.tasks.options import JobOptions, Options
from jobyard.tasks.queues import declare_queue
from jobyard.tasks.registry import declared, register
from jobyard.tasks.submission import submit, submit_within, submit_within_async

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

# Celery kills a child process this long after the hard limit, if its supervisor hangs as well (C code that
# never releases the GIL).
KILL_GRACE_SECONDS: Final = 15
DEFAULT_POLICY: Final = RetryPolicy()
OPTIONS_BY_CELERY_NAME: Final = {"countdown": "delay", "eta": "run_at", "expires": "expires_in"}

if TYPE_CHECKING:
    CeleryTask: TypeAlias = Task[Any, Any]
else:
    CeleryTask = Task


class JobTask(CeleryTask, Generic[In, Out]):
    """A declared function: `task(payload)` calls it directly, `delay` and `submit` send it to workers."""

    # Celery accepts fractions of a second here, although its stubs do not.
    time_limit: Any
    # A worker raises these to tell Celery that an attempt failed; Celery logs them without a traceback.
    throws = (AttemptFailedError,)

    def __init__(self, definition: TaskDefinition[In, Out]) -> None:
        self.definition = definition
        self.name = definition.name
        self.__doc__ = definition.function.__doc__
        # Celery's own limit applies to a message, not a job, and on prefork only, so ours is reached first.
        self.time_limit = definition.hard_limit + KILL_GRACE_SECONDS

    def __call__(self, payload: In) -> Out:
        """Overridden so that `task(payload)` is a plain call of the function, checked against its types.

        Celery's worker calls this method too, with the argument of a message: a list of job ids.
        """
        if self.request.called_directly:
            return self.definition.call(payload)
        worker = f"{self.request.hostname}/{os.getpid()}"
        return cast(Out, self.run_message(self.definition, job_ids_of(payload), worker))

    @staticmethod
    def run_message(definition: AnyDefinition, job_ids: Sequence[str], worker: str) -> None:
        """Run the jobs of a message; `jobyard/worker/boot.py` replaces this method.

        So a program that only submits jobs does not import the code that runs them.
        """
        raise RuntimeError("only a worker runs messages: jobyard.worker.boot is not loaded in this process")

    def run(self, payload: In) -> Out:
        """Overridden so that Celery finds a body; `__call__` does the work."""
        return self(payload)

    def delay(self, payload: In) -> JobHandle[Out]:  # type: ignore[override]
        """Overridden so that the job is committed to the ledger, and only then published."""
        return self.submit(payload)

    def submit(
        self,
        payload: In,
        *,
        idempotency_key: str | None = None,
        connection: "Transaction | None" = None,
        **options: Unpack[Options],
    ) -> JobHandle[Out]:
        """Commit one job and publish it; returns once the row is durable.

        With a `connection` to the ledger's database (SQLAlchemy's, a Session, or psycopg's) the job becomes
        part of its open transaction, which the caller commits; what is to be done where that commit gets no
        answer is the caller's matter, too.

        Raises pydantic's `ValidationError` for a wrong option, `IdempotencyConflictError` where the key was
        used for another request, `LedgerUnavailableError` where nothing could be written, and
        `OutcomeUnknownError` with the job's id where that is not known.
        """
        known = JobOptions(**options)
        if connection is None:
            [acceptance] = submit(self.definition, [payload], known, idempotency_key)
        else:
            [acceptance] = submit_within(connection, self.definition, [payload], known, idempotency_key)
        return self._handle(acceptance)

    async def submit_async(
        self,
        payload: In,
        *,
        idempotency_key: str | None = None,
        connection: "AsyncTransaction | None" = None,
        **options: Unpack[Options],
    ) -> JobHandle[Out]:
        """Like `submit`, from a coroutine; `connection` is asynchronous."""
        known, definition = JobOptions(**options), self.definition
        if connection is None:
            [acceptance] = await asyncio.to_thread(submit, definition, [payload], known, idempotency_key)
        else:
            [acceptance] = await submit_within_async(
                connection, definition, [payload], known, idempotency_key
            )
        return self._handle(acceptance)

    def submit_many(
        self,
        payloads: Sequence[In],
        options: JobOptions | None = None,
        *,
        connection: "Transaction | None" = None,
    ) -> list[JobHandle[Out]]:
        """Commit many jobs in one transaction, or in the caller's, with the same options for all of them."""
        known = options or JobOptions()
        if connection is None:
            acceptances = submit(self.definition, payloads, known)
        else:
            acceptances = submit_within(connection, self.definition, payloads, known)
        return [self._handle(acceptance) for acceptance in acceptances]

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> JobHandle[Out]:  # type: ignore[override]
        """Overridden so that no message bypasses the ledger; for callers with Celery's API, such as Flower.

        `args` holds the payload, as the model or as a dictionary; `countdown`, `eta` and `expires` (seconds)
        have Celery's meaning.
        """
        payload = self.definition.payload_model.model_validate(args[0] if args else kwargs)
        known = JobOptions(
            **{OPTIONS_BY_CELERY_NAME.get(name, name): value for name, value in options.items()}
        )
        return self._handle(submit(self.definition, [payload], known)[0])

    def _handle(self, acceptance: Acceptance) -> JobHandle[Out]:
        adapter = self.definition.result_adapter
        return JobHandle(acceptance.job_id, adapter, is_new=acceptance.verdict is Verdict.NEW)


class TaskDecorator(Protocol):
    """What `@task(...)` returns: it keeps the types of the payload and the result, also for `async def`."""

    @overload
    def __call__(self, function: Callable[[In], Coroutine[Any, Any, Out]], /) -> JobTask[In, Out]: ...
    @overload
    def __call__(self, function: Callable[[In], Out], /) -> JobTask[In, Out]: ...


def task(
    name: str,
    *,
    queue: str | Queue = DEFAULT_QUEUE.name,
    priority: int = DEFAULT_PRIORITY,
    autoretry_for: tuple[type[Exception], ...] = (),
    max_retries: int = DEFAULT_POLICY.max_retries,
    retry_backoff: bool | int = DEFAULT_POLICY.retry_backoff,
    retry_backoff_max: int = DEFAULT_POLICY.retry_backoff_max,
    retry_jitter: bool = DEFAULT_POLICY.retry_jitter,
    default_retry_delay: int = DEFAULT_POLICY.default_retry_delay,
    time_limit: float | None = None,
    soft_time_limit: float | None = None,
    max_age: float | None = None,
    aliases: tuple[str, ...] = (),
    **unknown: Never,
) -> TaskDecorator:
    """Declare a task with Celery's option names; raises `TaskDeclarationError` at import for a wrong one.

    Limits, delays and ages are in seconds. Only exceptions in `autoretry_for`, and `RetryLater`, are retried;
    any other makes the job a dead letter at once, and so does a retry that would come later than `max_age`
    after the job was accepted. Naming a `queue` here declares it; a `Queue` also sets its purpose and kind.
    """
    refuse_unknown_options(
        name, unknown, known=inspect.signature(task).parameters.keys() - {"name", "unknown"}
    )
    policy = RetryPolicy(
        autoretry_for=autoretry_for,
        max_retries=max_retries,
        retry_backoff=retry_backoff,
        retry_backoff_max=retry_backoff_max,
        retry_jitter=retry_jitter,
        default_retry_delay=default_retry_delay,
    )
    declaration = Declaration(
        name=name,
        queue=declare_queue(queue, name),
        priority=priority,
        policy=policy,
        time_limit=time_limit,
        soft_time_limit=soft_time_limit,
        max_age=max_age,
        aliases=aliases,
    )
    own_names = (declaration.name, *declaration.aliases)
    check_declaration(declaration, {one: declared[one].location for one in own_names if one in declared})

    def declare(function: Callable[[Any], Any]) -> JobTask[Any, Any]:
        model, result = payload_and_result(name, function)
        definition: AnyDefinition = TaskDefinition(function, declaration, model, result)
        new: JobTask[Any, Any] = JobTask(definition)
        app.register_task(new)
        # A job that was accepted under an old name is published under that name.
        app.tasks.update(dict.fromkeys(aliases, new))
        register(definition)
        return new

    return declare
