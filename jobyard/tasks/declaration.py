"""Checks a task's declaration when it is imported; each error names the fix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jobyard.jobs.errors import Discard, TaskDeclarationError
from jobyard.jobs.retry import RetryPolicy
from jobyard.settings.queues import PRIORITIES

LONGEST_NAME: Final = 200
# More than that are given as None, which is for ever.
MOST_RETRIES: Final = 1_000_000


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
    max_losses: int | None = None
    aliases: tuple[str, ...]


def check_declaration(declaration: Declaration, taken_names: Mapping[str, str]) -> None:
    """Raise `TaskDeclarationError` for the first fault; `taken_names` says which function has each name."""
    for fault in (*_name_faults(declaration, taken_names), *_option_faults(declaration)):
        raise TaskDeclarationError(f"task {declaration.name!r}: {fault}")


def _name_faults(declaration: Declaration, taken_names: Mapping[str, str]) -> Iterator[str]:
    names = (declaration.name, *declaration.aliases)
    for name in names:
        if not _is_printable(name):
            yield (
                f"a name has 1 to {LONGEST_NAME} printable characters and no space around them, unlike "
                f"{name!r:.300}"
            )
        elif name in (".", ".."):
            yield f"a name is a part of a path, where {name!r} means another one"
        elif name in taken_names or names.count(name) > 1:
            owner = taken_names.get(name, "another task")
            yield f"{owner} is already called {name!r}; names and aliases must differ"


def _is_printable(name: object) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST_NAME
        and name.isprintable()
        and name == name.strip()
    )


def _option_faults(declaration: Declaration) -> list[str]:
    policy, faults = declaration.policy, []
    if declaration.priority not in PRIORITIES:
        faults.append("priority must be 0 to 9, and 9 is first")
    faults += _retry_faults(policy)
    if policy.retry_backoff < 0 or policy.retry_backoff_max <= 0 or policy.default_retry_delay < 0:
        faults.append("retry delays must not be negative, and retry_backoff_max must be more than zero")
    if declaration.max_losses is not None and declaration.max_losses < 0:
        faults.append("max_losses must be 0 or more: 0 never starts a job again that has lost its worker")
    durations = (declaration.time_limit, declaration.soft_time_limit, declaration.max_age)
    if any(duration is not None and duration <= 0 for duration in durations):
        faults.append("time limits and max_age must be longer than zero seconds")
    elif declaration.time_limit and (declaration.soft_time_limit or 0) >= declaration.time_limit:
        faults.append("soft_time_limit must be shorter than time_limit")
    return faults


def _retry_faults(policy: RetryPolicy) -> list[str]:
    retries = policy.max_retries
    if retries is not None and not (isinstance(retries, int) and 0 <= retries < MOST_RETRIES):
        return [f"max_retries must be 0 to {MOST_RETRIES - 1:,}, or None for ever"]
    if faults := _retry_kwargs_faults(policy.retry_kwargs):
        return faults
    if policy.max_attempts == 1 and policy.autoretry_for:
        faults.append("autoretry_for asks for retries and max_retries=0 forbids them: drop one")
    for option in ("autoretry_for", "dont_autoretry_for"):
        kinds = getattr(policy, option)
        if any(not (isinstance(kind, type) and issubclass(kind, Exception)) for kind in kinds):
            faults.append(f"{option} must hold exception classes")
        elif option == "autoretry_for" and any(issubclass(kind, Discard) for kind in kinds):
            faults.append("autoretry_for holds Discard, which asks for no further attempt")
    return faults


def _retry_kwargs_faults(given: Mapping[str, Any]) -> list[str]:
    if unknown := sorted(set(given) - {"max_retries", "countdown"}):
        return [f"retry_kwargs holds max_retries and countdown, and not {unknown[0]!r}"]
    retries, countdown = given.get("max_retries"), given.get("countdown")
    if retries is not None and not (isinstance(retries, int) and 0 <= retries < MOST_RETRIES):
        return [f"max_retries in retry_kwargs must be 0 to {MOST_RETRIES - 1:,}"]
    if countdown is not None and not (isinstance(countdown, (int, float)) and countdown >= 0):
        return ["countdown in retry_kwargs must be seconds, zero or more"]
    return []
