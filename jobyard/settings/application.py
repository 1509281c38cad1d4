"""Finds the application that a process serves: its tasks, queues, settings and schedules.

`JOBYARD_APP=module:attribute` names it, in the environment or in the `.env` file. Without that, `app` in the
table `[tool.jobyard]` of the `pyproject.toml` in the working directory names it. Without both there is no
application, and only the modules of `JOBYARD_TASKS__MODULES` declare tasks. What is named is an
`Application`, or a `Jobyard` that stands where a Celery application stood.
"""

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar, cast

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict

from jobyard.settings.errors import SettingsError
from jobyard.settings.queues import DEFAULT_QUEUE, Queue, queues_by_name

T = TypeVar("T")

APP_VARIABLE: Final = "JOBYARD_APP"
ENV_FILE_VARIABLE: Final = "JOBYARD_ENV_FILE"
DEFAULT_ATTRIBUTE: Final = "application"
_PROJECT_FILE: Final = Path("pyproject.toml")


class SettingsSection(BaseModel):
    """The base of a section of settings: frozen, and without unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class Application:
    """What a product adds to Jobyard; modules are given by name, so that each process imports what it needs.

    `tasks` are modules that declare tasks. `settings` are sections by name: `{"shop": ShopSettings}` is read
    from `JOBYARD_SHOP__...`. `schedules` is a module with a sequence `SCHEDULES`, `doors` one with a mapping
    `DOORS` of short paths to task names, and `local` one with additions to `jobyard run`, see
    `jobyard/local/additions.py`.

    Raises `SettingsError` if a value is not of its type, or if two queues of one name differ.
    """

    tasks: tuple[str, ...] = ()
    queues: tuple[Queue, ...] = ()
    settings: Mapping[str, type[SettingsSection]] = field(default_factory=dict)
    schedules: str | None = None
    doors: str | None = None
    local: str | None = None

    def __post_init__(self) -> None:
        if faults := list(_type_faults(self)):
            raise SettingsError("; ".join(faults))
        queues_by_name((DEFAULT_QUEUE, *self.queues))

    def load(self, module: str | None, name: str, default: T, *, is_optional: bool = False) -> T:
        """Return the attribute `name` of one of these modules, or `default` where no module is given.

        Raises `SettingsError` if the attribute is missing; with `is_optional` returns `default` then.
        """
        if module is None:
            return default
        try:
            imported = import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module exists, and one of its imports is missing
            raise SettingsError(
                f"the application names {module!r}: {missing_module_reason(module)}"
            ) from error
        if not (is_optional or hasattr(imported, name)):
            raise SettingsError(f"the application names {module}, which has no {name}")
        return cast(T, getattr(imported, name, default))


class ModuleApplication:
    """The base of an application object that is known by its module alone, like `jobyard.Jobyard`."""


def _type_faults(application: Application) -> Iterator[str]:
    # A forgotten comma makes a tuple of names a text, which is a sequence of letters.
    if not _are_all(application.tasks, str):
        yield 'Application: tasks is a tuple of module names: write ("shop.mails",)'
    if not _are_all(application.queues, Queue):
        yield 'Application: queues is a tuple of queues: write (Queue("reports", "monthly figures"),)'
    for name, section in application.settings.items():
        if not (isinstance(section, type) and issubclass(section, SettingsSection)):
            yield f"Application: settings[{name!r}] must be a class that derives from jobyard.SettingsSection"
    for name in ("schedules", "doors", "local"):
        if not isinstance(getattr(application, name), str | None):
            yield f"Application: {name} is the name of a module, as text"


def _are_all(values: object, kind: type) -> bool:
    return isinstance(values, tuple | list) and all(isinstance(value, kind) for value in values)


def environment_file() -> Path | None:
    """Return the file from which settings are read besides the environment, or None."""
    name = os.environ.get(ENV_FILE_VARIABLE, ".env")  # an empty name means no file
    return Path(name) if name else None


def environment_file_values() -> dict[str, str | None]:
    """Return the variables of that file; raises `SettingsError` for one that cannot be read."""
    file = environment_file()
    if file is None or not file.is_file():
        return {}
    try:
        bindings = list(parse_stream(StringIO(file.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error
    if wrong := [binding.original.line for binding in bindings if binding.error]:
        raise SettingsError(f"{file}, line {wrong[0]}: cannot be read; write NAME=VALUE")
    return dotenv_values(file)


def application_name() -> str | None:
    """Return the name of this process's application, `module:attribute`, or None; raises `SettingsError`."""
    if name := os.environ.get(APP_VARIABLE):
        return name
    if name := environment_file_values().get(APP_VARIABLE):
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
    table = project.get("tool", {}).get("jobyard", {})
    if unknown := sorted(table.keys() - {"app"}):
        raise SettingsError(f"{_PROJECT_FILE}: [tool.jobyard] has no {unknown[0]!r}, only 'app'")
    name = table.get("app")
    if name is not None and not isinstance(name, str):
        raise SettingsError(
            f"{_PROJECT_FILE}: app in [tool.jobyard] must be text, like 'shop.jobyard:application'"
        )
    return name or None


def application_source() -> str:
    """Return which application this process has, and where it is named, in words."""
    name = application_name()
    if name is None:
        return (
            f"none: {APP_VARIABLE} is not set, and {Path.cwd() / _PROJECT_FILE} names none in [tool.jobyard]"
        )
    if os.environ.get(APP_VARIABLE):
        return name
    is_in_file = bool(environment_file_values().get(APP_VARIABLE))
    return f"{name}, by {environment_file() if is_in_file else _PROJECT_FILE}"


def without_application() -> str:
    """Return what to add to an error about something unknown: the reason may be that nothing was found."""
    return "" if application_name() else f" (application: {application_source()})"


def set_default_application(name: str) -> None:
    """Set the application of this process and its children, unless the environment names one."""
    if not os.environ.get(APP_VARIABLE):
        os.environ[APP_VARIABLE] = name


def get_application() -> Application:
    """Return this process's application; raises `SettingsError` if the named application does not exist."""
    global _application
    if _application is None:
        name = application_name()
        found = Application() if name is None else find_application(name)
        if name in _read_too_early and _is_being_imported(str(name).partition(":")[0]):
            return found
        _application = found
    return _application


_application: Application | None = None
# The names of applications that were asked for while their modules were being imported.
_read_too_early = set[str]()


def find_application(name: str) -> Application:
    """Return the application `module:attribute`; raises `SettingsError` that names what was found instead.

    A module that makes a `Jobyard` needs the settings while it is imported: they are those of no application
    then. Afterwards it is the module in which tasks are looked for.
    """
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute or DEFAULT_ATTRIBUTE)):
        raise SettingsError(
            f"{APP_VARIABLE} is {name!r}: write module:attribute, like shop.jobyard:application"
        )
    if _is_being_imported(module):
        _read_too_early.add(name)
        return Application()
    try:
        imported = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, and one of its imports is missing
        raise SettingsError(f"{APP_VARIABLE} names {module!r}: {missing_module_reason(module)}") from error
    found = _application_in(imported, attribute)
    if isinstance(found, ModuleApplication):
        return Application(tasks=(module,))
    if not isinstance(found, Application):
        description = "missing" if found is None else f"a {type(found).__name__}"
        raise SettingsError(
            f"{APP_VARIABLE} is {name!r}, and {attribute or DEFAULT_ATTRIBUTE} in {module} is {description}: "
            f"make it a jobyard.Application there, or a jobyard.Jobyard"
        )
    if name in _read_too_early:
        raise SettingsError(
            f"{APP_VARIABLE} is {name!r}, and {module} imports tasks or settings: the application names such "
            'modules as text, Application(tasks=("shop.mails",))'
        )
    return found


def _is_being_imported(module: str) -> bool:
    return bool(getattr(getattr(sys.modules.get(module), "__spec__", None), "_initializing", False))


def _application_in(module: ModuleType, attribute: str) -> object:
    named: object = getattr(module, attribute or DEFAULT_ATTRIBUTE, None)
    if named is None and not attribute:
        # Celery's way: the module's application, whatever it is called.
        return next((value for value in vars(module).values() if isinstance(value, ModuleApplication)), None)
    return named


def missing_module_reason(module: str) -> str:
    """Return why a module cannot be imported, and where Python found a package of that name instead."""
    package = module.split(".")[0]
    spec = find_spec(package)
    if spec is None:
        return f"there is no module {package!r} in {Path.cwd()} or on PYTHONPATH"
    location = spec.origin or ", ".join(spec.submodule_search_locations or ())
    return (
        f"there is a {package!r}, at {location}, and no {module!r} in it: is it the package that you mean? "
        f"PYTHONPATH decides which package comes first"
    )
