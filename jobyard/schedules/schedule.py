"""What a schedule is: a task with its payload, and when it is due."""

from dataclasses import dataclass
from typing import Any

from celery.schedules import BaseSchedule

from jobyard.tasks.payload import Payload
from jobyard.tasks.task import JobTask


@dataclass(frozen=True)
class Schedule:
    """A task with its payload, and when it is due (UTC): Celery's `schedule(timedelta(...))` or
    `crontab(...)`."""

    name: str
    task: JobTask[Any, Any]
    payload: Payload
    when: BaseSchedule
