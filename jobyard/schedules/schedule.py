"""A schedule: a task with its payload, and the times when it is due."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import celery.schedules
from celery.schedules import BaseSchedule, ParseException
from pydantic import BaseModel

from jobyard.settings import SettingsError
from jobyard.tasks.options import JobOptions
from jobyard.tasks.task import Task

# A part of a cron expression, a number, or several.
CronPart: TypeAlias = str | int | list[int]


@dataclass(frozen=True)
class Schedule:
    """A task with its payload, due by `crontab(...)`, or by any other schedule of Celery's.

    Times are in UTC, unless the settings of a `Jobyard` name a time zone. `options` are those of each job.

    Raises `SettingsError` for a value of another type.
    """

    name: str
    task: Task[..., Any]
    payload: BaseModel
    when: Any  # a `BaseSchedule`; Celery has no types that strict checkers could read
    options: JobOptions = field(default_factory=JobOptions)

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise SettingsError(f"schedule {self.name!r}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        if not isinstance(self.task, Task):
            yield f"its task must be a function declared with @task, and is a {type(self.task).__name__}"
        elif not isinstance(self.payload, model := self.task.definition.payload_model):
            yield f"its payload must be a {model.__name__}, and is a {type(self.payload).__name__}"
        if not isinstance(self.when, BaseSchedule):
            yield (
                "when it is due must be jobyard.crontab(...), or another schedule of celery.schedules, "
                f"and is a {type(self.when).__name__}"
            )


def crontab(
    minute: CronPart = "*",
    hour: CronPart = "*",
    day_of_week: CronPart = "*",
    day_of_month: CronPart = "*",
    month_of_year: CronPart = "*",
) -> Any:
    """Return Celery's `crontab`: the times of a cron expression, given part by part, in UTC.

    Raises `SettingsError` for a part that is no cron expression.
    """
    parts = {
        "minute": minute,
        "hour": hour,
        "day_of_week": day_of_week,
        "day_of_month": day_of_month,
        "month_of_year": month_of_year,
    }
    try:
        return celery.schedules.crontab(**parts)
    except (ParseException, ValueError, TypeError) as error:
        raise SettingsError(f"crontab({parts}): {error}") from error
