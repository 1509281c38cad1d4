"""Checks what a task's declaration says, at import, with a sentence that names the fix."""

import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import BaseModel

from jobyard.jobs.errors import Discard, TaskDeclarationError
from jobyard.jobs.retry import RetryPolicy
from jobyard.settings.queues import PRIORITIES

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a task says of itself; limits and ages are in seconds."""

    name: str
    queue: str
    priority: int
    policy: RetryPolicy
    time_limit: float | None
    soft_time_limit: float | None
    max_age: float | None
    aliases: tuple[str, ...]


def refuse_unknown_options(name: str, unknown: Collection[str], known: Collection[str]) -> None:
    """Raise for the first option that does not exist, and name the nearest that does."""
    for option in unknown:
        near = get_close_matches(option, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(sorted(known))}"
        raise TaskDeclarationError(f"task {name!r}: there is no option {option!r}; {hint}")


def check(declaration: Declaration, taken: Mapping[str, object]) -> None:
    """Raise `TaskDeclarationError` for the first thing that cannot be right."""
    for complaint in (*_about_names(declaration, taken), *_about_work(declaration)):
        raise TaskDeclarationError(f"task {declaration.name!r}: {complaint}")


def _about_names(declaration: Declaration, taken: Mapping[str, object]) -> list[str]:
    names = (declaration.name, *declaration.aliases)
    wrong = [name for name in names if not NAME.fullmatch(name)]
    twice = [name for name in names if name in taken or names.count(name) > 1]
    return [f"{name!r} must look like 'noun.verb', in lower case" for name in wrong] + [
        f"another task is already called {name!r}; names and aliases must differ" for name in twice
    ]


def _about_work(declaration: Declaration) -> list[str]:
    policy, complaints = declaration.policy, []
    if declaration.priority not in PRIORITIES:
        complaints.append("priority must be 0 to 9, and 9 is first")
    if policy.max_retries < 0:
        complaints.append("max_retries must be 0 or more")
    if policy.max_retries == 0 and policy.autoretry_for:
        complaints.append("autoretry_for says to try again and max_retries=0 says never: drop one")
    if any(not (isinstance(kind, type) and issubclass(kind, Exception)) for kind in policy.autoretry_for):
        complaints.append("autoretry_for must hold exception classes")
    elif any(issubclass(kind, Discard) for kind in policy.autoretry_for):
        complaints.append("autoretry_for holds Discard, which asks for no further attempt")
    if policy.retry_backoff < 0 or policy.retry_backoff_max <= 0 or policy.default_retry_delay < 0:
        complaints.append("retry delays must not be negative, nor retry_backoff_max zero")
    spans = (declaration.time_limit, declaration.soft_time_limit, declaration.max_age)
    if any(span is not None and span <= 0 for span in spans):
        complaints.append("time limits and max_age must be longer than zero seconds")
    elif declaration.time_limit and (declaration.soft_time_limit or 0) >= declaration.time_limit:
        complaints.append("soft_time_limit must be shorter than time_limit")
    return complaints


def _first_secret(schema: dict[str, Any]) -> str | None:
    for part in (schema, *schema.get("$defs", {}).values()):
        for field, its_schema in part.get("properties", {}).items():
            if '"writeOnly": true' in json.dumps(its_schema, default=str):
                return str(field)
    return None


def payload_and_result(name: str, function: Callable[..., Any]) -> tuple[type[BaseModel], Any]:
    """Return the model of the function's one parameter and its return annotation."""
    parameters = list(inspect.signature(function).parameters)
    hints = get_type_hints(function, include_extras=True)
    model = hints.get(parameters[0]) if len(parameters) == 1 else None
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise TaskDeclarationError(
            f"task {name!r}: the function must take exactly one parameter, annotated with a pydantic model"
        )
    if secret := _first_secret(model.model_json_schema()):
        raise TaskDeclarationError(
            f"task {name!r}: the field {secret!r} is a secret, and secrets are written as asterisks: "
            "keep it in a setting, or take a plain str and know that it stands in the ledger"
        )
    if "return" not in hints:
        raise TaskDeclarationError(f"task {name!r}: annotate what the function returns (None is a type too)")
    return model, hints["return"]
