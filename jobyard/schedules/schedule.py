"""A schedule: a task with its payload, and the times when it is due."""

from dataclasses import dataclass
from typing import Any

from celery.schedules import BaseSchedule

from jobyard.tasks.payload import Payload
from jobyard.tasks.task import JobTask


@dataclass(frozen=True)
class Schedule:
    """A task with its payload, due in UTC by Celery's `schedule(timedelta(...))` or `crontab(...)`."""

    name: str
    task: JobTask[Any, Any]
    payload: Payload
    when: BaseSchedule
