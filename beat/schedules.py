"""The schedules of this application. A `jobyard.Schedule` is a task, its payload, and when it is due."""

from jobyard import Schedule

# Jobyard adds its own schedules (`jobyard/schedules/housekeeping.py`); one of the same name here replaces it.
SCHEDULES: tuple[Schedule, ...] = ()
