"""Reads a task's function at its declaration: how it is called, what it returns; each error names the fix."""

import inspect
import json
import keyword
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from types import GenericAlias
from typing import Any, Final, get_type_hints

from pydantic import (
    BaseModel,
    Field,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
    create_model,
)
from pydantic_core import PydanticSerializationError, to_json

from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.json_arguments import Json, with_json
from jobyard.tasks.signature import Arguments, CallSignature, OfOneModel, OfParameters

_VARIADIC: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_UNKNOWN: Final = (PydanticUserError, PydanticUndefinedAnnotation)


def read_signature(
    task: str, function: Callable[..., Any], *, is_bound: bool = False
) -> tuple[CallSignature, TypeAdapter[Any]]:
    """Return how a function is called, and the adapter of what it returns; raises `TaskDeclarationError`.

    The first parameter of a function that `is_bound` is the task, and no part of a call.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskDeclarationError(
            f"task {task!r}: the function has a yield, so a call of it would run nothing: return a list, or "
            "hand in a job for each part"
        )
    hints = _hints_of(task, function)
    parameters = _parameters(task, function, is_bound=is_bound)
    signature = _signature(task, function, parameters, hints)
    if secret := _first_secret(_schema_of(task, signature.model)):
        raise TaskDeclarationError(
            f"task {task!r}: the field {secret!r} is a secret, and secrets are stored as asterisks: "
            "keep it in a setting, or use a plain str, which the ledger stores in the clear"
        )
    return signature, _result_adapter(task, hints.get("return", Any))


def _parameters(task: str, function: Callable[..., Any], *, is_bound: bool) -> list[Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:  # of a builtin, or a wrong __signature__
        raise TaskDeclarationError(
            f"task {task!r}: {error}: call it from a function with parameters of its own, and declare that"
        ) from error
    if not is_bound:
        return parameters
    if not parameters or parameters[0].kind not in (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise TaskDeclarationError(
            f"task {task!r}: bind=True gives the function its task as the first argument, and it takes none"
        )
    return parameters[1:]


def _signature(
    task: str, function: Callable[..., Any], parameters: Sequence[Parameter], hints: Mapping[str, Any]
) -> CallSignature:
    plain = inspect.Signature(parameters)
    if len(parameters) == 1 and parameters[0].kind not in _VARIADIC:
        model = hints.get(parameters[0].name)
        if inspect.isclass(model) and issubclass(model, BaseModel):
            return OfOneModel(task, plain, model)
    fields = _field_names([parameter.name for parameter in parameters])
    definitions: dict[str, Any] = {
        fields[parameter.name]: (_type_of(parameter, hints), _field(parameter, fields[parameter.name]))
        for parameter in parameters
    }
    try:
        model = create_model(
            f"{_camel(function.__name__)}Arguments",
            __base__=Arguments,
            __module__=function.__module__,
            **definitions,
        )
    except _UNKNOWN as error:
        unknown = next(name for name, field in fields.items() if not _is_known(definitions[field][0]))
        raise TaskDeclarationError(
            f"task {task!r}: pydantic does not know the type of the parameter {unknown!r}, "
            f"{hints[unknown]!r:.200}: take plain values, a dataclass or a pydantic model, and look up what "
            f"belongs to them in the task ({_first_line(error)})"
        ) from error
    return OfParameters(task, plain, model, fields)


def _is_known(told: Any) -> bool:
    try:
        TypeAdapter(told)
    except _UNKNOWN:
        return False
    return True


def _type_of(parameter: Parameter, hints: Mapping[str, Any]) -> Any:
    told = with_json(hints[parameter.name]) if parameter.name in hints else Json
    match parameter.kind:
        case Parameter.VAR_POSITIONAL:
            return GenericAlias(list, (told,))
        case Parameter.VAR_KEYWORD:
            return GenericAlias(dict, (str, told))
    return told


def _field(parameter: Parameter, field_name: str) -> Any:
    alias = parameter.name if field_name != parameter.name else None
    if parameter.kind in _VARIADIC:
        kind = list if parameter.kind is Parameter.VAR_POSITIONAL else dict
        return Field(default_factory=kind, alias=alias)
    if parameter.default is Parameter.empty:
        return Field(alias=alias)
    default = parameter.default
    # The default itself never travels. The schema shows it where JSON can.
    shown = {"default": default} if _is_json(default) else {}
    return Field(default_factory=lambda: default, alias=alias, json_schema_extra=shown)


def _is_json(default: Any) -> bool:
    try:
        json.dumps(to_json(default).decode())
        str(default)  # of an integer with more digits than can be read again
    except (PydanticSerializationError, ValueError):
        return False
    return isinstance(default, (str, int, float, bool, list, dict, type(None)))


def _field_names(names: Sequence[str]) -> dict[str, str]:
    """Return the field of each parameter; `_x` and `__x` have different ones."""
    fields: dict[str, str] = {}
    for name in names:
        field = _field_name(name)
        while field in fields.values() or (field != name and field in names):
            field += "_"
        fields[name] = field
    return fields


def _field_name(name: str) -> str:
    # Pydantic keeps names that begin with an underscore, and the names of a model's own methods, to itself.
    is_free = not name.startswith("_") and not hasattr(Arguments, name) and not name.startswith("model_")
    return name if is_free and not keyword.iskeyword(name) else f"parameter_{name.lstrip('_')}"


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_")) or "Task"


def _result_adapter(task: str, returned: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(returned)
    except _UNKNOWN as error:
        raise TaskDeclarationError(
            f"task {task!r}: pydantic does not know the return type {returned!r:.200}: return a "
            f"model, a dataclass or plain values ({_first_line(error)})"
        ) from error


def _hints_of(task: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        inspect.unwrap(function)  # raises ValueError for one that wraps itself, which would never end below
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TaskDeclarationError(
            f"task {task!r}: an annotation of the function cannot be resolved: {error}; import its type in "
            "the function's module, and not under TYPE_CHECKING alone"
        ) from error
    except Exception as error:  # an annotation in quotes is code, which may raise anything
        raise TaskDeclarationError(
            f"task {task!r}: the annotations of the function cannot be read: {type(error).__name__}: {error}"
        ) from error


def _schema_of(task: str, model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema()
    except (*_UNKNOWN, ValueError) as error:  # of an enum whose values are no JSON, for one
        raise TaskDeclarationError(
            f"task {task!r}: its payload {model.__name__} has no JSON schema: {_first_line(error)}"
        ) from error


def _first_secret(schema: dict[str, Any]) -> str | None:
    for part in (schema, *schema.get("$defs", {}).values()):
        for field, field_schema in part.get("properties", {}).items():
            if '"writeOnly": true' in json.dumps(field_schema, default=str):
                return str(field)
    return None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
