"""A task's definition: its function, the models of its payload and result, and its limits, without Celery.

`jobyard/tasks/task.py` wraps it in a Celery task; workers and the HTTP API use the definition alone.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator

from jobyard.jobs.errors import ResultRefusedError, TaskDeclarationError
from jobyard.settings.settings import get_settings
from jobyard.tasks.coroutines import run_coroutine
from jobyard.tasks.declaration import Declaration
from jobyard.tasks.fail_fast import LARGE_JSON_BYTES, fail_fast_validator

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

# Between the soft limit, which a task may catch to clean up, and the hard limit, where one limit is declared.
CLEAN_UP_SECONDS: Final = 5


class TaskDefinition(Generic[In, Out]):
    """A declared function that reads and writes its payloads and results as JSON."""

    def __init__(
        self, function: Callable[[In], Any], declaration: Declaration, model: type[In], result: Any
    ) -> None:
        self.function, self.declaration, self.payload_model = function, declaration, model
        self.name, self.aliases, self.policy = declaration.name, declaration.aliases, declaration.policy
        self.doc = inspect.cleandoc(function.__doc__ or "")
        self.is_async = inspect.iscoroutinefunction(function)
        self.result_adapter: TypeAdapter[Out] = TypeAdapter(result)
        self._is_round_trip_checked = False
        hard, soft = declaration.time_limit, declaration.soft_time_limit
        # A single limit is the soft one, because a task can catch its exception and clean up.
        self.soft_limit = soft or hard or get_settings().tasks.time_limit.total_seconds()
        self.hard_limit = hard if hard and soft else self.soft_limit + CLEAN_UP_SECONDS

    @property
    def location(self) -> str:
        """The module and the name of the function."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def __repr__(self) -> str:
        return f"<TaskDefinition {self.name}>"

    @cached_property
    def payload_schema(self) -> dict[str, Any]:
        """The payload's JSON schema, with a reference for each model in it."""
        return self.payload_model.model_json_schema(ref_template="#/components/schemas/{model}")

    def call(self, payload: In) -> Out:
        """Call the function, and run an `async def` one to its end."""
        returned = self.function(payload)
        if isinstance(returned, Coroutine):
            return cast(Out, run_coroutine(returned))
        return cast(Out, returned)

    def dump(self, payload: In) -> str:
        """Return a payload as JSON text that `decode` reads; raises `TypeError` for any other object."""
        if not isinstance(payload, self.payload_model):
            raise TypeError(
                f"task {self.name!r} takes a {self.payload_model.__name__}, not a {type(payload).__name__}"
            )
        text = payload.model_dump_json(by_alias=True, round_trip=True)
        if not self._is_round_trip_checked:
            self._check_round_trip(text)
        return text

    def _check_round_trip(self, text: str) -> None:
        # Once per process: with a model that cannot read its own JSON every job would fail in the worker.
        try:
            self.decode(text)
        except ValidationError as error:
            raise TaskDeclarationError(
                f"task {self.name!r}: {self.payload_model.__name__} cannot read the JSON that it writes, "
                f"so no worker could run its jobs: {error}"
            ) from error
        self._is_round_trip_checked = True

    @cached_property
    def _fail_fast_validator(self) -> SchemaValidator:
        self.payload_model.model_rebuild()  # where its schema was put off until its first use
        return fail_fast_validator(self.payload_model.__pydantic_core_schema__)

    def validate_json(self, body: bytes, context: Mapping[str, Any] | None = None) -> In:
        """Read a payload that a caller has sent; raises pydantic's `ValidationError`.

        Of a large body the error names one wrong element of each list.
        """
        if len(body) <= LARGE_JSON_BYTES:
            return self.payload_model.model_validate_json(body, context=context)
        return cast(In, self._fail_fast_validator.validate_json(body, context=context))

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
            self._check_result_reads_back(text)
        limit = get_settings().tasks.max_result_bytes
        if len(text) > limit:
            raise ResultRefusedError(
                f"the result has {len(text)} bytes, more than {limit} (JOBYARD_TASKS__MAX_RESULT_BYTES): "
                "keep it as a file and return the file's id"
            )
        return text

    def _check_result_reads_back(self, text: str) -> None:
        # JSON has no NaN and no infinity: pydantic writes them as null, which a float cannot be read from.
        try:
            self.result_adapter.validate_json(text)
        except ValidationError as error:
            raise ResultRefusedError(
                f"the result cannot be read back as the task's return type (NaN or infinity in it?): {error}"
            ) from error


AnyDefinition: TypeAlias = TaskDefinition[Any, Any]
