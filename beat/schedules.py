"""The schedules that ship with the yard, as data."""

from dataclasses import dataclass
from datetime import timedelta

from celery.schedules import BaseSchedule, crontab, schedule

from jobyard.tasks.housekeeping import Heartbeat, Prune, heartbeat, prune
from jobyard.tasks.payload import Payload
from jobyard.tasks.task import AnyTask


@dataclass(frozen=True)
class Schedule:
    """A task with its payload, and when it is due (UTC)."""

    name: str
    task: AnyTask
    payload: Payload
    when: BaseSchedule


SHIPPED = (
    Schedule("upkeep-heartbeat", heartbeat, Heartbeat(), schedule(timedelta(minutes=1))),
    Schedule("upkeep-prune", prune, Prune(), crontab(minute="17", hour="3")),
)
