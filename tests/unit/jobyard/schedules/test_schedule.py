"""A schedule that cannot work is refused where it is written."""

from typing import Any

import pytest
from celery.schedules import crontab as crontab_of_celery

from jobyard.schedules.schedule import Schedule, crontab
from jobyard.settings import SettingsError
from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload


class Night(Payload):
    number: int = 0


class Other(Payload):
    pass


@task("test.scheduled")
def do(night: Night) -> None:
    pass


def test_a_schedule_is_a_task_a_payload_and_a_time() -> None:
    assert Schedule("nightly", do, Night(), crontab(hour="3")).name == "nightly"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((len, Night(), crontab()), "schedule 'nightly': its task must be a function declared with @task"),
        ((do, {"number": 1}, crontab()), "its payload must be a Night, and is a dict"),
        ((do, Other(), crontab()), "its payload must be a Night, and is a Other"),
        ((do, Night(), 60), "or another schedule of celery.schedules, and is a int"),
        ((len, Night(), None), "and is a NoneType"),
    ],
)
def test_what_is_wrong_is_said_with_the_name(parts: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Schedule("nightly", *parts)
    assert message in str(error.value)


def test_a_crontab_is_celerys() -> None:
    assert crontab("5", "3", month_of_year="1-6") == crontab_of_celery("5", "3", month_of_year="1-6")
    assert crontab() == crontab_of_celery()
    for wrong in ("every minute", "61", "*/0", ""):
        with pytest.raises(SettingsError, match=r"crontab\(\{'minute': "):
            crontab(wrong)
