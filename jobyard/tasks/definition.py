"""A task's definition: its function, the models of its payload and result, and its limits, without Celery.

`jobyard/tasks/task.py` wraps it in a Celery task; workers and the HTTP API use the definition alone.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator, from_json

from jobyard.jobs.errors import ResultRefusedError, TaskDeclarationError
from jobyard.settings.settings import get_settings
from jobyard.tasks.app_defaults import Router
from jobyard.tasks.coroutines import run_coroutine
from jobyard.tasks.declaration import Declaration
from jobyard.tasks.fail_fast import LARGE_JSON_BYTES, fail_fast_validator
from jobyard.tasks.payload import MAX_DIGITS
from jobyard.tasks.signature import CallSignature

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

# Between the soft limit, which a task may catch to clean up, and the hard limit, where one limit is declared.
CLEAN_UP_SECONDS: Final = 5
# Most sets of fields for which a process remembers that they come back as they were.
MOST_CHECKED_FILLINGS: Final = 1000


def soft_and_hard(soft: float | None, hard: float | None) -> tuple[float, float]:
    """Return the soft and the hard limit where one of them is given or both, in seconds.

    A single limit is the soft one, because a task can catch its exception and clean up.
    """
    first = soft or hard or 0.0
    return first, hard if soft and hard else first + CLEAN_UP_SECONDS


class TaskDefinition(Generic[In, Out]):
    """A declared function that reads and writes its payloads and results as JSON."""

    def __init__(
        self,
        function: Callable[..., Any],
        declaration: Declaration,
        signature: CallSignature,
        result: TypeAdapter[Out],
        called: Callable[..., Any] | None = None,
        *,
        has_own_call: bool = False,
    ) -> None:
        self.function, self.declaration, self.signature = function, declaration, signature
        # What runs a job, where that is more than the function itself.
        self._called = called or function
        self.has_own_call = has_own_call
        self.payload_model = cast(type[In], signature.model)
        self.name, self.aliases, self.policy = declaration.name, declaration.aliases, declaration.policy
        self.doc = inspect.cleandoc(function.__doc__ or "")
        self.is_async = inspect.iscoroutinefunction(function)
        self.result_adapter = result
        # What chooses the queue of each job by its arguments, where the application has such a function.
        self.router: Router | None = None
        self._checked_fillings = set[frozenset[str]]()
        hard, soft = declaration.time_limit, declaration.soft_time_limit
        usual = get_settings().tasks.time_limit.total_seconds()
        self.soft_limit, self.hard_limit = soft_and_hard(soft, hard if soft or hard else usual)

    def limits_of_call(self, soft: float | None, hard: float | None) -> tuple[float, float]:
        """Return the soft and the hard limit of a job whose call gives one of them or both, in seconds."""
        declared = self.declaration
        if soft is None and declared.soft_time_limit and hard and declared.soft_time_limit < hard:
            soft = declared.soft_time_limit
        if hard is None and declared.time_limit and soft and declared.time_limit > soft:
            hard = declared.time_limit
        return soft_and_hard(soft, hard)

    @property
    def declared_max_losses(self) -> int | None:
        """How many workers a job may lose, by the task's declaration or the settings of tasks, or None."""
        own = self.declaration.max_losses
        return get_settings().tasks.max_losses if own is None else own

    @property
    def max_losses(self) -> int:
        """How many workers a job may lose and be started again."""
        declared = self.declared_max_losses
        return get_settings().keeper.max_lost - 1 if declared is None else declared

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

    def start(self, payload: In) -> Any:
        """Call the function with the arguments in a payload; an `async def` one returns its coroutine."""
        args, kwargs = self.signature.arguments(payload)
        return self._called(*args, **kwargs)

    def call(self, payload: In) -> Out:
        """Call the function, and run an `async def` one to its end."""
        returned = self.start(payload)
        if isinstance(returned, Coroutine):
            return cast(Out, run_coroutine(returned))
        return cast(Out, returned)

    def dump(self, payload: In) -> str:
        """Return a payload as JSON text that `decode` reads; raises `TypeError` for any other object."""
        if not isinstance(payload, self.payload_model):
            raise TypeError(
                f"task {self.name!r} takes a {self.payload_model.__name__}, not a {type(payload).__name__}"
            )
        text = self.signature.dump(payload)
        filled = self.signature.filled(payload)
        if filled not in self._checked_fillings:
            self._check_round_trip(payload, text)
            if len(self._checked_fillings) < MOST_CHECKED_FILLINGS:
                self._checked_fillings.add(filled)
        return text

    def _check_round_trip(self, payload: In, text: str) -> None:
        # Once for each set of fields that hold something: such a model would fail with every payload, and
        # reading each payload twice would double what accepting costs.
        model = self.payload_model.__name__
        try:
            read = self.decode(text)
        except ValidationError as error:
            raise TaskDeclarationError(
                f"task {self.name!r}: {model} cannot read the JSON that it writes, "
                f"so no worker could run its jobs: {error}"
            ) from error
        if read != payload:
            raise TaskDeclarationError(
                f"task {self.name!r}: {model} reads the JSON that it writes as another payload, and its jobs "
                f"would run with that: {_difference(payload, read)}. Let validators leave their own results "
                "alone, exclude no field, and give classes of your own an __eq__"
            )

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
        self._check_is_readable(returned, text)
        limit = get_settings().tasks.max_result_bytes
        if len(text) > limit:
            raise ResultRefusedError(
                f"the result has {len(text)} bytes, more than {limit} (JOBYARD_TASKS__MAX_RESULT_BYTES): "
                "keep it as a file and return the file's id"
            )
        return text

    def _check_is_readable(self, returned: Out, text: str) -> None:
        has_null = "null" in text
        if not has_null and "NaN" not in text and "Infinity" not in text and len(text) <= MAX_DIGITS:
            return
        try:
            read = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise ResultRefusedError(
                f"the result cannot be read again as JSON (NaN, infinity or a huge number in it?): {error}"
            ) from error
        # JSON has no NaN and no infinity: pydantic writes them as null.
        if has_null and _has_lost_number(self.result_adapter.dump_python(returned, warnings=False), read):
            raise ResultRefusedError("the result holds NaN or infinity, which JSON cannot write")


def _difference(payload: BaseModel, read: BaseModel) -> str:
    for name in type(payload).model_fields:
        before, after = getattr(payload, name), getattr(read, name)
        if before != after:
            return f"{name!r} is {before!r:.200} and comes back as {after!r:.200}"
    return "not equal, although every field is"


def _has_lost_number(dumped: object, read: object) -> bool:
    """Tell whether a number in pydantic's Python form of a value is null in its JSON."""
    rest = [(dumped, read)]
    while rest:
        match rest.pop():
            case float(), None:
                return True
            case dict() as items, dict() as read_items:
                rest += zip(items.values(), read_items.values(), strict=False)
            case (list() | tuple() | set() | frozenset()) as items, list() as read_items:
                rest += zip(items, read_items, strict=False)
    return False


AnyDefinition: TypeAlias = TaskDefinition[Any, Any]
