"""Celery's `beat_schedule` and `add_periodic_task` become schedules of Jobyard's, or say why not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import celery.schedules
import pytest
from celery.schedules import solar

from jobyard import Jobyard, crontab, shared_task
from jobyard.schedules.celery_entries import celery_schedules
from jobyard.schedules.declared import declared_schedules
from jobyard.schedules.scheduler import _nominal_time
from jobyard.settings import SettingsError
from jobyard.tasks.task import Task
from tests.support.changed_settings import changed_settings
from tests.support.one_app import restored_app


class Sunset(solar):
    """Celery's schedule of the sun, without the library that it needs."""

    def __init__(self) -> None:
        pass


@pytest.fixture
def app() -> Iterator[Jobyard]:
    with restored_app():
        yield Jobyard("proj", set_as_current=False)


@pytest.fixture
def add(app: Jobyard) -> Task[..., Any]:
    @shared_task(name="proj.add", queue="math")
    def add(x: int, y: int = 0, *, key: UUID | None = None) -> int:
        return x + y

    return add


def entry(**changes: Any) -> dict[str, Any]:
    return {"task": "proj.add", "schedule": 30.0, "args": (16,), **changes}


@pytest.mark.parametrize(
    "when", [30, 30.0, timedelta(seconds=30), crontab(minute="*/5"), celery.schedules.schedule(30)]
)
def test_an_entry_is_a_schedule_with_the_arguments_as_payload(
    app: Jobyard, add: Task[..., Any], when: Any
) -> None:
    key = UUID(int=7)
    app.conf.beat_schedule = {"sixteen": entry(schedule=when, kwargs={"y": 2, "key": key})}
    [schedule] = celery_schedules()
    assert schedule.name == "sixteen"
    assert schedule.task is add
    assert schedule.payload == add.payload(16, 2, key=key)
    assert {"sixteen", "upkeep-prune"} <= {declared.name for declared in declared_schedules()}


def test_the_options_are_those_of_each_job(app: Jobyard, add: Task[..., Any]) -> None:
    app.conf.task_queues = ["high"]
    with changed_settings(CELERY__PRIORITY="redis"):
        app.conf.beat_schedule = {"sixteen": entry(options={"queue": "high", "priority": 0, "expires": 60})}
        [schedule] = celery_schedules()
    options = schedule.options
    assert (options.queue, options.priority, options.expires_in) == ("high", 9, timedelta(seconds=60))


def test_a_periodic_task_is_an_entry(app: Jobyard, add: Task[..., Any]) -> None:
    name = app.add_periodic_task(10.0, add.s(1), kwargs={"y": 3}, expires=10)
    [schedule] = celery_schedules()
    assert schedule.name == name
    assert schedule.payload == add.payload(3) or schedule.payload == add.payload(1, y=3)
    assert schedule.options.expires_in == timedelta(seconds=10)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": "proj.ad"}, "proj.ad"),
        ({"args": (1, 2, 3)}, "too many positional arguments"),
        ({"args": ("many",)}, "valid integer"),
        ({"schedule": "every minute"}, "write seconds, a timedelta or a crontab"),
        ({"schedule": 0}, "longer than zero"),
        ({"schedule": Sunset()}, "solar is not there yet"),
        ({"options": {"exchange": "media"}}, "exchange"),
        ({"options": {"priority": 3}}, "JOBYARD_CELERY__PRIORITY"),
        ({"options": {"link": "proj.add"}}, "link"),
        ({"arg": (1,)}, "there is no 'arg'"),
    ],
)
def test_a_wrong_entry_is_named(
    app: Jobyard, add: Task[..., Any], changes: dict[str, Any], sentence: str
) -> None:
    app.conf.beat_schedule = {"sixteen": entry(**changes), "right": entry()}
    with pytest.raises(SettingsError, match=rf"(?s)beat_schedule\['sixteen'\]: .*{sentence}"):
        celery_schedules()


def test_an_entry_without_a_task_is_named(app: Jobyard) -> None:
    app.conf.beat_schedule = {"sixteen": {"schedule": 3}}
    with pytest.raises(SettingsError, match=r"write \{'task': NAME"):
        celery_schedules()


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (
            datetime(2026, 3, 28, 8, tzinfo=UTC),
            datetime(2026, 3, 29, 7, tzinfo=UTC),
        ),  # the clock goes forward
        (datetime(2026, 10, 24, 7, tzinfo=UTC), datetime(2026, 10, 25, 8, tzinfo=UTC)),  # and back
    ],
)
def test_a_crontab_is_read_in_the_projects_time_zone(app: Jobyard, last: datetime, due: datetime) -> None:
    app.conf.timezone = "Europe/Berlin"
    when = celery.schedules.crontab(hour="9", minute="0", app=app, nowfun=lambda: last)
    tick: Any = SimpleNamespace(last_run_at=last.astimezone(ZoneInfo("Europe/Berlin")), schedule=when)
    assert _nominal_time(tick).astimezone(UTC) == due
