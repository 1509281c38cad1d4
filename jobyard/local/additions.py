"""What an application adds to `jobyard run`, by functions of the module that it names as `local`.

`processes(settings)` returns more processes, `environment(settings)` settings that are given on one machine
where they are not set, and `first_jobs(api)` what to try first. Each may be missing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jobyard.local.processes import LocalProcess
from jobyard.settings import Settings
from jobyard.settings.application import get_application

T = TypeVar("T")


@dataclass(frozen=True)
class FirstJob:
    """A request to try: a path of the API and the payload that is posted there."""

    path: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class LocalApi:
    """The API that has just been started, for `first_jobs`: where it is, and how to upload a file to it."""

    url: str
    settings: Settings
    upload: Callable[[str, bytes, str], str]


def added_processes(settings: Settings) -> Sequence[LocalProcess]:
    """Return the processes of the application; raises `SettingsError`."""
    return _ask("processes", lambda _: [])(settings)


def added_environment(settings: Settings) -> Mapping[str, str]:
    """Return the settings that the application gives on one machine, where they are not set."""
    return _ask("environment", lambda _: {})(settings)


def first_jobs(api: LocalApi) -> Sequence[FirstJob]:
    """Return what to try first: what the application says, or the tasks that have an example."""
    return _ask("first_jobs", _examples)(api)


def _ask(name: str, default: Callable[[Any], T]) -> Callable[[Any], T]:
    application = get_application()
    return application.load(application.local, name, default, is_optional=True)


def _examples(_: LocalApi) -> Sequence[FirstJob]:
    from jobyard.tasks.registry import load_tasks

    return [
        FirstJob(f"/v1/tasks/{task.name}/jobs", task.payload_schema["examples"][0])
        for task in load_tasks().values()
        if task.payload_schema.get("examples")
    ][:3]
