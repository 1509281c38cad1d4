"""The schedules that every installation has: a heartbeat, and the deletion of jobs that ended long ago."""

from datetime import timedelta
from typing import Final

from celery.schedules import crontab, schedule

from jobyard.schedules.schedule import Schedule
from jobyard.tasks.housekeeping import Heartbeat, Prune, heartbeat, prune

HOUSEKEEPING: Final = (
    Schedule("upkeep-heartbeat", heartbeat, Heartbeat(), schedule(timedelta(minutes=1))),
    Schedule("upkeep-prune", prune, Prune(), crontab(minute="17", hour="3")),
)
