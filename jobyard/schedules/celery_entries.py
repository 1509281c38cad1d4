"""Celery's `beat_schedule` and `add_periodic_task` as schedules of Jobyard's."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import celery.schedules
from celery.schedules import BaseSchedule
from pydantic import ValidationError

from jobyard.broker.celery_app import app
from jobyard.jobs.errors import JobyardError
from jobyard.schedules.schedule import Schedule
from jobyard.settings import SettingsError
from jobyard.tasks.celery_call import celery_call
from jobyard.tasks.registry import find_task
from jobyard.tasks.task import Task

_KNOWN: Final = ("task", "schedule", "args", "kwargs", "options", "relative", "name")


def celery_schedules() -> tuple[Schedule, ...]:
    """Return the entries of `app.conf.beat_schedule`; raises one `SettingsError` for all wrong ones."""
    schedules, faults = [], []
    for name, entry in (app.conf.beat_schedule or {}).items():
        try:
            schedules.append(_schedule(str(name), entry))
        except SettingsError as error:
            faults.append(str(error))
    if faults:
        raise SettingsError("\n  ".join(["These schedules are wrong:", *faults]))
    return tuple(schedules)


def _schedule(name: str, entry: Any) -> Schedule:
    if not isinstance(entry, Mapping) or not {"task", "schedule"} <= entry.keys():
        raise SettingsError(f"beat_schedule[{name!r}]: write {{'task': NAME, 'schedule': ..., 'args': ...}}")
    if unknown := sorted(map(str, entry.keys() - set(_KNOWN))):
        raise SettingsError(f"beat_schedule[{name!r}]: there is no {unknown[0]!r}, only {', '.join(_KNOWN)}")
    try:
        definition = find_task(str(entry["task"]))
        args, kwargs = entry.get("args") or (), entry.get("kwargs") or {}
        payload = definition.signature.payload(args, kwargs)
        definition.dump(payload)
        call = celery_call(entry.get("options") or {}, priority_needs_setting=Task.priority_needs_setting)
        task = app.tasks[definition.name]
        assert isinstance(task, Task)
        when = _when(entry["schedule"], bool(entry.get("relative")))
    except (JobyardError, TypeError, ValidationError, SettingsError) as error:
        raise SettingsError(f"beat_schedule[{name!r}]: {error}") from error
    return Schedule(name, task, payload, when, call.options)


def _when(given: Any, is_relative: bool) -> Any:
    if isinstance(given, celery.schedules.solar):
        raise SettingsError(
            "solar is not there yet: give a crontab, and let the task end at once where the sun is elsewhere"
        )
    if isinstance(given, bool | str):
        raise SettingsError(f"its schedule is {given!r:.100}: write seconds, a timedelta or a crontab")
    if callable(given) and not isinstance(given, BaseSchedule):
        given = given()
    when: Any = celery.schedules.maybe_schedule(given, is_relative)
    if not isinstance(when, BaseSchedule):
        raise SettingsError(f"its schedule is {given!r:.100}: write seconds, a timedelta or a crontab")
    every: timedelta | None = getattr(when, "run_every", None)
    if every is None and not isinstance(when, celery.schedules.crontab):
        raise SettingsError(f"a schedule of the kind {type(when).__name__} is not there: write a crontab")
    if every is not None and every <= timedelta(0):
        raise SettingsError("its schedule must be longer than zero seconds")
    return when
