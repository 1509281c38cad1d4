"""Checks a task's declaration when it is imported; each error names the fix."""

import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import BaseModel, PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter

from jobyard.jobs.errors import Discard, TaskDeclarationError
from jobyard.jobs.retry import RetryPolicy
from jobyard.settings.queues import PRIORITIES

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The options of a declared task; limits and ages are in seconds."""

    name: str
    queue: str
    priority: int
    policy: RetryPolicy
    time_limit: float | None
    soft_time_limit: float | None
    max_age: float | None
    aliases: tuple[str, ...]


def refuse_unknown_options(name: str, unknown: Collection[str], known: Collection[str]) -> None:
    """Raise `TaskDeclarationError` for the first unknown option, and suggest the closest known one."""
    for option in unknown:
        near = get_close_matches(option, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(sorted(known))}"
        raise TaskDeclarationError(f"task {name!r}: there is no option {option!r}; {hint}")


def check_declaration(declaration: Declaration, taken_names: Mapping[str, str]) -> None:
    """Raise `TaskDeclarationError` for the first fault; `taken_names` says which function has each name."""
    for fault in (*_name_faults(declaration, taken_names), *_option_faults(declaration)):
        raise TaskDeclarationError(f"task {declaration.name!r}: {fault}")


def _name_faults(declaration: Declaration, taken_names: Mapping[str, str]) -> list[str]:
    names = (declaration.name, *declaration.aliases)
    malformed = [name for name in names if not NAME.fullmatch(name)]
    repeated = [name for name in names if name in taken_names or names.count(name) > 1]
    return [f"{name!r} must look like 'noun.verb', in lower case" for name in malformed] + [
        f"{taken_names.get(name, 'another task')} is already called {name!r}; names and aliases must differ"
        for name in repeated
    ]


def _option_faults(declaration: Declaration) -> list[str]:
    policy, faults = declaration.policy, []
    if declaration.priority not in PRIORITIES:
        faults.append("priority must be 0 to 9, and 9 is first")
    if policy.max_retries < 0:
        faults.append("max_retries must be 0 or more")
    if policy.max_retries == 0 and policy.autoretry_for:
        faults.append("autoretry_for asks for retries and max_retries=0 forbids them: drop one")
    if any(not (isinstance(kind, type) and issubclass(kind, Exception)) for kind in policy.autoretry_for):
        faults.append("autoretry_for must hold exception classes")
    elif any(issubclass(kind, Discard) for kind in policy.autoretry_for):
        faults.append("autoretry_for holds Discard, which asks for no further attempt")
    if policy.retry_backoff < 0 or policy.retry_backoff_max <= 0 or policy.default_retry_delay < 0:
        faults.append("retry delays must not be negative, and retry_backoff_max must be more than zero")
    durations = (declaration.time_limit, declaration.soft_time_limit, declaration.max_age)
    if any(duration is not None and duration <= 0 for duration in durations):
        faults.append("time limits and max_age must be longer than zero seconds")
    elif declaration.time_limit and (declaration.soft_time_limit or 0) >= declaration.time_limit:
        faults.append("soft_time_limit must be shorter than time_limit")
    return faults


def _first_secret(schema: dict[str, Any]) -> str | None:
    for part in (schema, *schema.get("$defs", {}).values()):
        for field, field_schema in part.get("properties", {}).items():
            if '"writeOnly": true' in json.dumps(field_schema, default=str):
                return str(field)
    return None


def payload_and_result(name: str, function: Callable[..., Any]) -> tuple[type[BaseModel], TypeAdapter[Any]]:
    """Return the model of the function's one parameter, and the adapter of what it returns."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskDeclarationError(
            f"task {name!r}: the function has a yield, so a call of it would run nothing: return a list, or "
            "hand in a job for each part"
        )
    parameters = list(inspect.signature(function).parameters)
    hints = _hints_of(name, function)
    model = hints.get(parameters[0]) if len(parameters) == 1 else None
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise TaskDeclarationError(
            f"task {name!r}: the function must take exactly one parameter, annotated with a pydantic model "
            "(for a union, with a RootModel of it)"
        )
    if secret := _first_secret(_schema_of(name, model)):
        raise TaskDeclarationError(
            f"task {name!r}: the field {secret!r} is a secret, and secrets are stored as asterisks: "
            "keep it in a setting, or use a plain str, which the ledger stores in the clear"
        )
    if "return" not in hints:
        raise TaskDeclarationError(f"task {name!r}: annotate the function's return type (None is a type too)")
    try:
        return model, TypeAdapter(hints["return"])
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise TaskDeclarationError(
            f"task {name!r}: pydantic does not know the return type {hints['return']!r:.200}: return a "
            f"model, a dataclass or plain values ({_first_line(error)})"
        ) from error


def _hints_of(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TaskDeclarationError(
            f"task {name!r}: an annotation of the function cannot be resolved: {error}; import its type in "
            "the function's module, and not under TYPE_CHECKING alone"
        ) from error


def _schema_of(name: str, model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise TaskDeclarationError(
            f"task {name!r}: its payload {model.__name__} has no JSON schema: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
