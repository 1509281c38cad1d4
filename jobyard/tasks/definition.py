"""What a task is: its function, the models of its payload and result, and its limits. Knows no Celery.

`jobyard/tasks/task.py` puts it behind a Celery task; workers and the HTTP API use the definition alone.
"""

import inspect
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from jobyard.jobs.errors import ResultRefusedError, TaskDeclarationError
from jobyard.settings.settings import get_settings
from jobyard.tasks.coroutines import run_coroutine
from jobyard.tasks.declaration import Declaration

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

# Between the soft limit, which a task may catch to clean up after itself, and the hard one where only one
# limit is declared.
CLEAN_UP_SECONDS: Final = 5


class TaskDefinition(Generic[In, Out]):
    """A declared function, and how its payloads and results are read and written."""

    def __init__(
        self, function: Callable[[In], Any], declaration: Declaration, model: type[In], result: Any
    ) -> None:
        self.function, self.declaration, self.payload_model = function, declaration, model
        self.name, self.aliases, self.policy = declaration.name, declaration.aliases, declaration.policy
        self.doc = inspect.cleandoc(function.__doc__ or "")
        self.is_async = inspect.iscoroutinefunction(function)
        self.result_adapter: TypeAdapter[Out] = TypeAdapter(result)
        self._has_read_back_a_payload = False
        hard, soft = declaration.time_limit, declaration.soft_time_limit
        # Where one limit is given it is the soft one, for which there is an exception to clean up after.
        self.soft_limit = soft or hard
        self.hard_limit = hard if soft or not hard else hard + CLEAN_UP_SECONDS

    def __repr__(self) -> str:
        return f"<TaskDefinition {self.name}>"

    @cached_property
    def payload_schema(self) -> dict[str, Any]:
        """The payload as JSON schema, with a reference for each model in it."""
        return self.payload_model.model_json_schema(ref_template="#/components/schemas/{model}")

    def call(self, payload: In) -> Out:
        """Call the function; one that is `async def` is run to its end."""
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
        if not self._has_read_back_a_payload:
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
        self._has_read_back_a_payload = True

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
        # JSON has no NaN and no infinity: they are written as null, and would surprise the reader.
        try:
            self.result_adapter.validate_json(text)
        except ValidationError as error:
            raise ResultRefusedError(
                f"the result cannot be read back as the task's return type (NaN or infinity in it?): {error}"
            ) from error


AnyDefinition: TypeAlias = TaskDefinition[Any, Any]
