"""`Task`: the Celery task around a definition, whose calls submit jobs to the ledger."""

from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar, Unpack, cast

import celery
from celery.app.task import Context
from pydantic import BaseModel

from jobyard.broker.inline_runner import inline_runner
from jobyard.jobs.errors import AttemptFailedError
from jobyard.jobs.ledger.in_transaction import AsyncTransaction, Transaction
from jobyard.settings import get_settings
from jobyard.tasks.call import Call, submit_many
from jobyard.tasks.celery_call import celery_arguments, celery_call
from jobyard.tasks.coroutines import run_coroutine
from jobyard.tasks.definition import TaskDefinition
from jobyard.tasks.handle import JobHandle, accepted_handle
from jobyard.tasks.not_there import WithoutWorkflows
from jobyard.tasks.on_commit import on_commit
from jobyard.tasks.options import JobOptions, Options, PayloadWithOptions
from jobyard.tasks.planned_call import PlannedCall
from jobyard.tasks.request import called_directly, request_of
from jobyard.tasks.retrying import JobRetry, retry
from jobyard.tasks.signature import Arguments
from jobyard.tasks.update_state import update_state

P = ParamSpec("P")
R = TypeVar("R")
In = TypeVar("In", bound=BaseModel)


if TYPE_CHECKING:
    CeleryTask: TypeAlias = celery.Task[Any, Any]
else:
    CeleryTask = celery.Task


class Task(WithoutWorkflows, CeleryTask, Generic[P, R]):
    """A declared function: `task(...)` calls it directly, `delay(...)` hands it in for a worker.

    Each declaration makes a class of its own from its base, which is this class or one derived from it.
    """

    abstract = True
    definition: TaskDefinition[Any, R]
    # Celery accepts fractions of a second here, although its stubs do not.
    time_limit: Any
    # Whether `priority=` of a call needs JOBYARD_CELERY__PRIORITY, because its code was written for a broker.
    priority_needs_setting = False
    queue: str | None = None
    # A worker raises these to tell Celery that an attempt failed; Celery logs them without a traceback.
    throws: tuple[type[Exception], ...] = (AttemptFailedError,)
    # Keeps sentry-sdk from wrapping `__call__`, which reports what a direct call raises as the end of a job:
    # `jobyard/integrations/sentry.py` reports attempts.
    _sentry_is_patched = True

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now, and run an `async def` one to its end."""
        with called_directly(self, args, kwargs):
            returned = self.run(*args, **kwargs)
            if isinstance(returned, Coroutine):
                return cast(R, run_coroutine(returned))
            return cast(R, returned)

    @property
    def request(self) -> Context:
        """What runs: the job and its attempt in Celery's words, or a direct call; empty where neither is."""
        return request_of(self)

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: Exception | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> JobRetry:
        """Have the job that runs tried again, `countdown` seconds from now or at `eta`.

        Raises Celery's `Retry`, or returns it without `throw`; the retry counts in both cases. Where as many
        retries as `max_retries` (the task's own, if it is None) are used up, it raises `exc`, or
        `MaxRetriesExceededError`. Called directly, outside a job, it raises `exc`. A job keeps its payload
        and its options: `CallRefusedError` for others.
        """
        return retry(self, args, kwargs, exc, throw, eta, countdown, max_retries, options)

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> None:
        """Say how far the attempt is: a word of the task's own, and anything that JSON can carry.

        It is shown with the job until its next attempt. The last state within a quarter of a second is kept,
        and the last one of all. Raises `ValueError` outside a job, and for what is too long.
        """
        update_state(self, task_id, state, meta)

    def delay_on_commit(self, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `delay` when Django's transaction is committed, and not at all if it is rolled back."""
        on_commit(partial(self.delay, *args, **kwargs))

    def apply_async_on_commit(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """Call `apply_async` when Django's transaction is committed, and not at all if it is rolled back."""
        on_commit(partial(self.apply_async, args, kwargs, **options))

    def signature(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Return a call for `add_periodic_task`; used in a workflow it raises `CallRefusedError`."""
        return PlannedCall(self.name, args, kwargs, options)

    subtask = signature

    def s(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return a call for `add_periodic_task`, as `signature` does."""
        return PlannedCall(self.name, args, kwargs)

    si = s

    def payload(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the payload of a call, for `submit` and `submit_many`.

        Raises `TypeError` where the function cannot be called so, and pydantic's `ValidationError`.
        """
        return self.definition.signature.payload(args, kwargs)

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:  # type: ignore[override]
        """Commit a job of this call and publish it; returns once its row is durable.

        Raises as `payload` and `submit` do.
        """
        return self.options().delay(*args, **kwargs)

    async def delay_async(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Like `delay`, from a coroutine."""
        return await self.options().delay_async(*args, **kwargs)

    def options(
        self,
        *,
        idempotency_key: str | None = None,
        connection: "Transaction | AsyncTransaction | None" = None,
        **options: Unpack[Options],
    ) -> Call[P, R]:
        """Return this task with options for its next calls: `say.options(priority=9).delay("Ada")`."""
        return Call(self.definition, JobOptions(**options), idempotency_key, connection)

    def submit(
        self,
        payload: Arguments,
        *,
        idempotency_key: str | None = None,
        connection: "Transaction | None" = None,
        **options: Unpack[Options],
    ) -> JobHandle[R]:
        """Commit one job and publish it; returns once the row is durable.

        With a `connection` to the ledger's database (SQLAlchemy's, a Session, or psycopg's) the job becomes
        part of its open transaction, which the caller commits; what is to be done where that commit gets no
        answer is the caller's matter, too.

        Raises pydantic's `ValidationError` for a wrong option, `IdempotencyConflictError` where the key was
        used for another request, `LedgerUnavailableError` where nothing could be written, and
        `OutcomeUnknownError` with the job's id where that is not known.
        """
        return Call(self.definition, JobOptions(**options), idempotency_key, connection).submit(payload)

    async def submit_async(
        self,
        payload: Arguments,
        *,
        idempotency_key: str | None = None,
        connection: "AsyncTransaction | None" = None,
        **options: Unpack[Options],
    ) -> JobHandle[R]:
        """Like `submit`, from a coroutine; `connection` is asynchronous."""
        call: Call[P, R] = Call(self.definition, JobOptions(**options), idempotency_key, connection)
        return await call.submit_async(payload)

    def submit_many(
        self,
        payloads: Sequence[Arguments | PayloadWithOptions],
        options: JobOptions | None = None,
        *,
        connection: "Transaction | None" = None,
    ) -> list[JobHandle[R]]:
        """Commit many jobs in one transaction, or in the caller's, with these options for all of them.

        `task.options(priority=9).payload(...)` is a payload with options of its own besides. Raises as
        `submit` does; where it raises, none of the jobs is accepted.
        """
        return submit_many(self.definition, payloads, options or JobOptions(), connection)

    def apply_async(  # type: ignore[override]
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        producer: object = None,
        link: object = None,
        link_error: object = None,
        shadow: str | None = None,
        **options: Any,
    ) -> JobHandle[R]:
        """Like `delay`, with Celery's options of a call, and ours.

        Raises `CallRefusedError` for an option that cannot be kept, and `TypeError` for one that there is
        not.
        """
        named = {"task_id": task_id, "producer": producer, "link": link, "link_error": link_error}
        call = celery_call(
            {**named, "shadow": shadow, **options}, priority_needs_setting=self.priority_needs_setting
        )
        positional, by_name = celery_arguments(args, kwargs)
        payload = self.definition.signature.payload(positional, by_name)
        return Call(self.definition, call.options, call.idempotency_key, call.connection).submit(payload)

    def apply(  # type: ignore[override]
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        retries: int = 0,
        logfile: object = None,
        loglevel: object = None,
        **options: Any,
    ) -> JobHandle[R]:
        """Run a job here and now, to its end, with its retries and without their delays.

        It is in no ledger but its own, which only the handle knows, and no worker hears of it. It raises the
        task's own exception where `throw` is true, which is the setting JOBYARD_TASKS__EAGER_PROPAGATES by
        default. The other options are those of `apply_async`; `retries`, `logfile` and `loglevel` are
        Celery's, and mean nothing here.
        """
        call = celery_call(options, priority_needs_setting=self.priority_needs_setting)
        positional, by_name = celery_arguments(args, kwargs)
        payload = self.definition.signature.payload(positional, by_name)
        propagates = get_settings().tasks.eager_propagates if throw is None else throw
        acceptance, ledger = inline_runner().run_alone(
            self.definition, payload, call.options, propagates=propagates
        )
        adapter = self.definition.result_adapter
        return accepted_handle(acceptance, adapter, call.options.external_id, database=ledger.database)

    def AsyncResult(self, task_id: str, **kwargs: Any) -> JobHandle[R]:  # type: ignore[override]  # noqa: N802
        """Return the handle of a job of this task, by its own id or its caller's."""
        return JobHandle(task_id, self.definition.result_adapter, **kwargs)


if TYPE_CHECKING:

    class ModelTask(Task[[In], R], Generic[In, R]):
        """To type checkers, a task whose function takes one model: that is its payload."""

        def submit(  # type: ignore[override]
            self,
            payload: In,
            *,
            idempotency_key: str | None = None,
            connection: "Transaction | None" = None,
            **options: Unpack[Options],
        ) -> JobHandle[R]: ...
        async def submit_async(  # type: ignore[override]
            self,
            payload: In,
            *,
            idempotency_key: str | None = None,
            connection: "AsyncTransaction | None" = None,
            **options: Unpack[Options],
        ) -> JobHandle[R]: ...
        def submit_many(  # type: ignore[override]
            self,
            payloads: Sequence[In | PayloadWithOptions],
            options: JobOptions | None = None,
            *,
            connection: "Transaction | None" = None,
        ) -> list[JobHandle[R]]: ...

else:
    ModelTask = Task
