"""The additions of an application to `jobyard run`: functions of the module that it names as `local`.

`processes(settings)` returns more processes, `environment(settings)` defaults of settings on one machine, and
`first_jobs(api)` the jobs to try first. Each function may be missing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jobyard.http.task_path import task_path
from jobyard.local.processes import LocalProcess
from jobyard.settings import Settings
from jobyard.settings.application import get_application

T = TypeVar("T")


@dataclass(frozen=True)
class FirstJob:
    """A request to try: a path of the API, and the payload to post there."""

    path: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class LocalApi:
    """The running API, for `first_jobs`: its URL, the settings, and a function that uploads a file."""

    url: str
    settings: Settings
    upload: Callable[[str, bytes, str], str]


def added_processes(settings: Settings) -> Sequence[LocalProcess]:
    """Return the processes of the application; raises `SettingsError`."""
    return _function("processes", lambda _: [])(settings)


def added_environment(settings: Settings) -> Mapping[str, str]:
    """Return the application's environment variables for one machine."""
    return _function("environment", lambda _: {})(settings)


def first_jobs(api: LocalApi) -> Sequence[FirstJob]:
    """Return the jobs to try first: those of the application, or tasks that have an example."""
    return _function("first_jobs", _examples)(api)


def _function(name: str, default: Callable[[Any], T]) -> Callable[[Any], T]:
    application = get_application()
    return application.load(application.local, name, default, is_optional=True)


def _examples(_: LocalApi) -> Sequence[FirstJob]:
    from jobyard.tasks.registry import load_tasks

    return [
        FirstJob(task_path(task.name), task.payload_schema["examples"][0])
        for task in load_tasks().values()
        if task.payload_schema.get("examples")
    ][:3]
