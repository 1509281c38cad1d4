"""The schedules of this yard, as data. `jobyard.Schedule` is one: a task, its payload, and when it is due."""

from jobyard import Schedule

# Housekeeping comes by itself (`jobyard/schedules/housekeeping.py`); one of the same name here takes its
# place.
SCHEDULES: tuple[Schedule, ...] = ()
