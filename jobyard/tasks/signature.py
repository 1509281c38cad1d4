"""How a task's function is called: the arguments of a call become a payload, and a payload its arguments.

A function of one parameter that is annotated with a pydantic model takes the payload itself. For any other
function the payload is a model that is made from its parameters.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any, TypeAlias, cast

from pydantic import BaseModel

from jobyard.tasks.payload import Payload

CallArguments: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]


class Arguments(Payload):
    """The base of the payloads that are made from a function's parameters.

    A parameter that a call leaves out is not in the payload, so the function's own default counts when the
    job runs.
    """


class CallSignature(ABC):
    """The parameters of a task's function, without the task itself where the function is bound to it."""

    def __init__(self, task: str, parameters: inspect.Signature, model: type[BaseModel]) -> None:
        self.task, self.parameters, self.model = task, parameters, model

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Name the arguments of a call; raises `TypeError` where the function cannot be called so."""
        try:
            return self.parameters.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"task {self.task!r}: {error}; it is called {self.task}{self.parameters}"
            ) from None

    @abstractmethod
    def payload(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BaseModel:
        """Return the payload of a call; raises `TypeError`, or pydantic's `ValidationError`."""

    @abstractmethod
    def arguments(self, payload: Any) -> CallArguments:
        """Return the positional and the keyword arguments with which the function is called."""

    def by_position(self, payload: Any) -> CallArguments:
        """Return the arguments as most calls give them: by position, as far as there is no gap.

        A payload does not say which of them a call has named.
        """
        args, kwargs = self.arguments(payload)
        bound = self.parameters.bind(*args, **kwargs)
        return bound.args, bound.kwargs

    @abstractmethod
    def filled(self, payload: Any) -> frozenset[str]:
        """Return the names of the fields that a payload's JSON is made of."""

    @abstractmethod
    def dump(self, payload: Any) -> str:
        """Return the payload as JSON text."""


class OfOneModel(CallSignature):
    """A function whose one parameter is the payload; a call may give it as a dictionary."""

    def payload(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BaseModel:
        bound = self.bind(args, kwargs)
        bound.apply_defaults()
        [payload] = bound.arguments.values()
        if isinstance(payload, Mapping):
            return self.model.model_validate(payload)
        return cast(BaseModel, payload)

    def arguments(self, payload: Any) -> CallArguments:
        return (payload,), {}

    def filled(self, payload: Any) -> frozenset[str]:
        return frozenset(name for name, value in payload.__dict__.items() if value)

    def dump(self, payload: Any) -> str:
        return cast(str, payload.model_dump_json(by_alias=True, round_trip=True))


class OfParameters(CallSignature):
    """A function of any other parameters: each of them is a field of the payload."""

    def __init__(
        self, task: str, parameters: inspect.Signature, model: type[BaseModel], fields: Mapping[str, str]
    ) -> None:
        super().__init__(task, parameters, model)
        self._fields = fields
        # Where keywords alone will do, they are all that is needed.
        self._takes_keywords = all(
            parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
            for parameter in parameters.parameters.values()
        )

    def payload(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BaseModel:
        return self.model.model_validate(self.bind(args, kwargs).arguments)

    def arguments(self, payload: Any) -> CallArguments:
        named = self._named(payload)
        if self._takes_keywords:
            return (), named
        bound = inspect.BoundArguments(self.parameters, cast(Any, named))
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def by_position(self, payload: Any) -> CallArguments:
        bound = inspect.BoundArguments(self.parameters, cast(Any, self._named(payload)))
        return bound.args, bound.kwargs

    def _named(self, payload: Any) -> dict[str, Any]:
        return {
            name: getattr(payload, field)
            for name, field in self._fields.items()
            if field in payload.model_fields_set
        }

    def filled(self, payload: Any) -> frozenset[str]:
        return frozenset(payload.model_fields_set)

    def dump(self, payload: Any) -> str:
        return cast(str, payload.model_dump_json(by_alias=True, round_trip=True, exclude_unset=True))
