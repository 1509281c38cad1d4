"""The environment variables of the settings: which are given, and which are unknown."""

import os
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from inspect import isclass
from typing import Final

from pydantic import BaseModel

from jobyard.settings.application import (
    APP_VARIABLE,
    ENV_FILE_VARIABLE,
    environment_file_values,
    without_application,
)

ENV_PREFIX: Final = "JOBYARD_"
NO_SUCH_SETTING: Final = "there is no such setting; `jobyard config` shows all of them"
# Variables that have the prefix of settings, and are read before them.
READ_FIRST: Final = (ENV_FILE_VARIABLE, APP_VARIABLE)


def given_variables() -> list[str]:
    """Return the names of the variables in the environment and in the `.env` file."""
    return [*environment_file_values(), *os.environ]


def unknown_variables(settings_type: type[BaseModel], names: Iterable[str]) -> list[str]:
    """Return a sentence for each variable that has the prefix of settings, and is not a setting."""
    known = {*_variables_of(settings_type, ENV_PREFIX), *READ_FIRST}
    return [
        f"{name}: {NO_SUCH_SETTING}{_near(name.upper(), known)}{without_application()}"
        for name in names
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known
    ]


def _near(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.85)
    return f". Did you mean {near[0]}?" if near else ""


def _variables_of(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from _variables_of(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"
