"""`@task` and `JobTask`: an ordinary Celery task that takes one typed payload and answers to the ledger."""

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property
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
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from jobyard.broker.celery_app import app
from jobyard.broker.message_ids import job_ids_of
from jobyard.jobs.errors import TaskDeclarationError
from jobyard.jobs.job import Acceptance, Verdict
from jobyard.jobs.ledger.in_transaction import AsyncTransaction, Transaction
from jobyard.jobs.retry import RetryPolicy
from jobyard.settings.queues import DEFAULT_PRIORITY, Queue
from jobyard.settings.settings import get_settings
from jobyard.tasks.declaration import Declaration, check, payload_and_result, refuse_unknown_options
from jobyard.tasks.handle import JobHandle
from jobyard.tasks.options import JobOptions, Options
from jobyard.tasks.submission import submit, submit_within, submit_within_async
from jobyard.worker.execution.attempt import ResultRefusedError
from jobyard.worker.execution.event_loop import run_coroutine
from jobyard.worker.execution.message import AttemptFailedError, run_bundle

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

# An attempt that does not heed its soft limit is given up so much later.
STOP_GRACE_SECONDS: Final = 5
# A child process whose supervisor hangs as well (C code that never lets go of the interpreter) is
# killed by Celery so much after that.
KILL_GRACE_SECONDS: Final = 15
DEFAULT_POLICY: Final = RetryPolicy()
CELERYS_WORDS: Final = {"countdown": "delay", "eta": "run_at", "expires": "expires_in"}

if TYPE_CHECKING:
    CeleryTask: TypeAlias = Task[Any, Any]
else:
    CeleryTask = Task


class JobTask(CeleryTask, Generic[In, Out]):
    """A declared function: `task(payload)` calls it here and now, `delay` and `submit` hand it to workers."""

    # Celery takes fractions of a second here, whatever its stubs say.
    time_limit: Any
    # How `run_bundle` says that an attempt failed; Celery logs these without a traceback.
    throws = (AttemptFailedError,)

    def __init__(
        self, function: Callable[[In], Any], declaration: Declaration, model: type[In], result: Any
    ) -> None:
        self.name = declaration.name
        self.is_async = inspect.iscoroutinefunction(function)
        self.function, self.declaration, self.payload_model = function, declaration, model
        self._has_come_round = False
        self.result_adapter: TypeAdapter[Out] = TypeAdapter(result)
        self.__doc__ = function.__doc__
        hard, soft = declaration.time_limit, declaration.soft_time_limit
        # Where one limit is given it is the soft one, for which there is an exception to clean up after.
        self.soft_limit = soft or hard
        self.hard_limit = hard if soft or not hard else hard + STOP_GRACE_SECONDS
        # Celery's own limits count for a message, not a job, and on prefork alone: ours come first.
        self.time_limit = self.hard_limit + KILL_GRACE_SECONDS if self.hard_limit else None

    @property
    def policy(self) -> RetryPolicy:
        return self.declaration.policy

    @property
    def aliases(self) -> tuple[str, ...]:
        return self.declaration.aliases

    @cached_property
    def payload_schema(self) -> dict[str, Any]:
        """The payload as JSON schema, with a reference for each model in it."""
        return self.payload_model.model_json_schema(ref_template="#/components/schemas/{model}")

    def __call__(self, payload: In) -> Out:
        """Overridden so that `task(payload)` is a plain call of the function, checked against its types.

        Celery's worker comes this way as well, with what it found in a message: a list of job ids.
        """
        if self.request.called_directly:
            return self.call(payload)
        worker = f"{self.request.hostname}/{os.getpid()}"
        return cast(Out, run_bundle(self, job_ids_of(payload), worker))

    def run(self, payload: In) -> Out:
        """Overridden so that Celery finds a body; `__call__` does the work."""
        return self(payload)

    def call(self, payload: In) -> Out:
        """Call the function, on the process's event loop where it is `async def`."""
        returned = self.function(payload)
        if isinstance(returned, Coroutine):
            return cast(Out, run_coroutine(returned))
        return cast(Out, returned)

    def dump(self, payload: In) -> str:
        """Return a payload as JSON text that `decode` reads; raises `TypeError` for what is none."""
        if not isinstance(payload, self.payload_model):
            raise TypeError(
                f"task {self.name!r} takes a {self.payload_model.__name__}, not a {type(payload).__name__}"
            )
        text = payload.model_dump_json(by_alias=True, round_trip=True)
        if not self._has_come_round:
            self._check_round_trip(text)
        return text

    def _check_round_trip(self, text: str) -> None:
        # Once for each process: a model that does not read what it writes would fail in the worker.
        try:
            self.decode(text)
        except ValidationError as error:
            raise TaskDeclarationError(
                f"task {self.name!r}: {self.payload_model.__name__} does not read the JSON that it writes "
                f"itself, so its jobs could not be run: {error}"
            ) from error
        self._has_come_round = True

    def decode(self, payload: str) -> In:
        """Read a stored payload; raises pydantic's `ValidationError`."""
        return self.payload_model.model_validate_json(payload)

    def encode(self, returned: Out) -> str:
        """Return a result as JSON text; raises `ResultRefusedError`."""
        try:
            text = self.result_adapter.dump_json(returned, warnings="error").decode()
        except PydanticSerializationError as error:
            raise ResultRefusedError(f"the result does not fit the task's return type: {error}") from error
        if "null" in text:
            self._check_reads_back(text)
        limit = get_settings().tasks.max_result_bytes
        if len(text) > limit:
            raise ResultRefusedError(
                f"the result has {len(text)} bytes, more than {limit} (JOBYARD_TASKS__MAX_RESULT_BYTES): "
                "keep it as a file and return the file's id"
            )
        return text

    def _check_reads_back(self, text: str) -> None:
        # JSON has no NaN and no infinity: they are written as null, and would be somebody else's surprise.
        try:
            self.result_adapter.validate_json(text)
        except ValidationError as error:
            raise ResultRefusedError(
                f"the result cannot be read back as the task's return type (NaN or infinity in it?): {error}"
            ) from error

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
        """Commit one job and ring for it; returns once the row is durable.

        With a `connection` to the ledger's database (of SQLAlchemy, also a Session, or of psycopg) the job is
        part of the transaction that is open there, and the caller commits it.

        Raises pydantic's `ValidationError` for a wrong option, `IdempotencyConflictError` where the key was
        used for another request, and `LedgerUnavailableError` where nothing could be written.
        """
        said = JobOptions(**options)
        if connection is None:
            [acceptance] = submit(self, [payload], said, idempotency_key)
        else:
            [acceptance] = submit_within(connection, self, [payload], said, idempotency_key)
        return self._handle(acceptance)

    async def submit_async(
        self,
        payload: In,
        *,
        idempotency_key: str | None = None,
        connection: "AsyncTransaction | None" = None,
        **options: Unpack[Options],
    ) -> JobHandle[Out]:
        """As `submit`, from a coroutine; `connection` is of an asynchronous kind."""
        said = JobOptions(**options)
        if connection is None:
            [acceptance] = await asyncio.to_thread(submit, self, [payload], said, idempotency_key)
        else:
            [acceptance] = await submit_within_async(connection, self, [payload], said, idempotency_key)
        return self._handle(acceptance)

    def submit_many(
        self,
        payloads: Sequence[In],
        options: JobOptions | None = None,
        *,
        connection: "Transaction | None" = None,
    ) -> list[JobHandle[Out]]:
        """Commit many jobs in one transaction, or in the caller's, with the same options for all of them."""
        said = options or JobOptions()
        if connection is None:
            return [self._handle(answer) for answer in submit(self, payloads, said)]
        return [self._handle(answer) for answer in submit_within(connection, self, payloads, said)]

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> JobHandle[Out]:  # type: ignore[override]
        """Overridden so that nothing is published past the ledger; for callers that speak Celery (Flower).

        `args` holds the payload, as the model or as a dictionary; `countdown`, `eta` and `expires` (seconds)
        mean what they mean in Celery.
        """
        payload = self.payload_model.model_validate(args[0] if args else kwargs)
        known = JobOptions(**{CELERYS_WORDS.get(name, name): value for name, value in options.items()})
        return self._handle(submit(self, [payload], known)[0])

    def _handle(self, acceptance: Acceptance) -> JobHandle[Out]:
        return JobHandle(acceptance.job_id, self.result_adapter, is_new=acceptance.verdict is Verdict.NEW)


AnyTask: TypeAlias = JobTask[Any, Any]

declared: dict[str, AnyTask] = {}


class Declare(Protocol):
    """What `@task(...)` returns: it keeps the payload's and the result's types, of `async def` too."""

    @overload
    def __call__(self, function: Callable[[In], Coroutine[Any, Any, Out]], /) -> JobTask[In, Out]: ...
    @overload
    def __call__(self, function: Callable[[In], Out], /) -> JobTask[In, Out]: ...


def task(
    name: str,
    *,
    queue: Queue = Queue.DEFAULT,
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
) -> Declare:
    """Declare a task in Celery's own words; raises `TaskDeclarationError` at import for what cannot be.

    Limits, delays and ages are in seconds. Only exceptions in `autoretry_for`, and `RetryLater`, are retried;
    any other makes the job a dead letter at once, and so does a retry that would come later than `max_age`
    after the job was accepted.
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
        queue=queue,
        priority=priority,
        policy=policy,
        time_limit=time_limit,
        soft_time_limit=soft_time_limit,
        max_age=max_age,
        aliases=aliases,
    )
    check(declaration, declared)

    def declare(function: Callable[[Any], Any]) -> AnyTask:
        model, result = payload_and_result(name, function)
        new: AnyTask = JobTask(function, declaration, model, result)
        app.register_task(new)
        # Jobs that were accepted under an old name are published under it.
        app.tasks.update(dict.fromkeys(aliases, new))
        declared[name] = new
        return new

    return declare
