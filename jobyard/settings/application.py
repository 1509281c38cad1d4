"""Which application a process of the engine serves: its tasks, queues, settings and schedules.

`JOBYARD_APP=module:attribute` names it, in the environment or in the `.env` file. Where it does not, `app`
in the table `[tool.jobyard]` of the `pyproject.toml` in the working directory does, and where that says
nothing either, there is none: then `JOBYARD_TASKS__MODULES` alone says which tasks there are.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar, cast

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict

from jobyard.settings.errors import SettingsError
from jobyard.settings.queues import DEFAULT_QUEUE, Queue, by_name

T = TypeVar("T")

APP_VARIABLE: Final = "JOBYARD_APP"
ENV_FILE_VARIABLE: Final = "JOBYARD_ENV_FILE"
DEFAULT_ATTRIBUTE: Final = "application"
_PROJECT_FILE: Final = Path("pyproject.toml")


class SettingsSection(BaseModel):
    """The base of a section of settings: frozen, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class Application:
    """What a product brings along. Modules are named and not imported, so that each process loads what it
    needs.

    `tasks` are modules with tasks in them. `settings` are sections by name: `{"shop": ShopSettings}` is read
    from `JOBYARD_SHOP__...`. `schedules` is a module with a sequence `SCHEDULES`, `doors` one with a mapping
    `DOORS` (a short path for a task), and `local` one with what `jobyard run` adds, see
    `jobyard/local/additions.py`.

    Raises `SettingsError` for queues that cannot be.
    """

    tasks: tuple[str, ...] = ()
    queues: tuple[Queue, ...] = ()
    settings: Mapping[str, type[SettingsSection]] = field(default_factory=dict)
    schedules: str | None = None
    doors: str | None = None
    local: str | None = None

    def __post_init__(self) -> None:
        by_name((DEFAULT_QUEUE, *self.queues))

    def load(self, module: str | None, name: str, default: T, *, is_optional: bool = False) -> T:
        """Return what stands under a name in one of these modules.

        Raises `SettingsError` where nothing does, unless it `is_optional`.
        """
        if module is None:
            return default
        try:
            imported = import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it imports is not
            raise SettingsError(f"the application names {module!r}: {why_missing(module)}") from error
        if not (is_optional or hasattr(imported, name)):
            raise SettingsError(f"the application names {module}, which has no {name}")
        return cast(T, getattr(imported, name, default))


def environment_file() -> Path | None:
    """Return the file that settings are read from besides the environment, or None for none."""
    name = os.environ.get(ENV_FILE_VARIABLE, ".env")  # an empty name reads none
    return Path(name) if name else None


def application_name() -> str | None:
    """Return the name of this process's application, as `module:attribute`, or None; raises
    `SettingsError`."""
    if name := os.environ.get(APP_VARIABLE):
        return name
    file = environment_file()
    if file is not None and (name := dotenv_values(file).get(APP_VARIABLE)):
        return name
    return _name_in_project()


def _name_in_project() -> str | None:
    try:
        project = tomllib.loads(_PROJECT_FILE.read_text())
    except OSError:
        return None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"{_PROJECT_FILE}, which may name the application, cannot be read: {error}"
        ) from error
    name = project.get("tool", {}).get("jobyard", {}).get("app")
    if name is not None and not isinstance(name, str):
        raise SettingsError(
            f"{_PROJECT_FILE}: app in [tool.jobyard] is text, like 'shop.jobyard:application'"
        )
    return name or None


def application_by_default(name: str) -> None:
    """Let this process and its children serve an application, unless they are told another."""
    if not os.environ.get(APP_VARIABLE):
        os.environ[APP_VARIABLE] = name


@cache
def get_application() -> Application:
    """Return this process's application; raises `SettingsError` where the one that is named is not there."""
    name = application_name()
    return Application() if name is None else find_application(name)


def find_application(name: str) -> Application:
    """Return the application `module:attribute`; raises `SettingsError` that says what is there instead."""
    module, _, attribute = name.partition(":")
    attribute = attribute or DEFAULT_ATTRIBUTE
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise SettingsError(
            f"{APP_VARIABLE} is {name!r}: write module:attribute, like shop.jobyard:application"
        )
    try:
        found = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise SettingsError(f"{APP_VARIABLE} names {module!r}: {why_missing(module)}") from error
    if not isinstance(found, Application):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise SettingsError(
            f"{APP_VARIABLE} is {name!r}, and {attribute} in {module} is {what}: "
            f"make it a jobyard.Application there"
        )
    return found


def why_missing(module: str) -> str:
    """Return why a module cannot be imported, and what to do; another one of that name is shown."""
    package = module.split(".")[0]
    found = find_spec(package)
    if found is None:
        return f"there is no module {package!r} in {Path.cwd()} or on PYTHONPATH"
    place = found.origin or ", ".join(found.submodule_search_locations or ())
    return (
        f"there is a {package!r}, at {place}, and no {module!r} in it: is it the one that is meant? "
        f"PYTHONPATH says which comes first"
    )
