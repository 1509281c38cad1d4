"""The schedules of this installation: its housekeeping, and the application's, which win by name.

An application says them as `SCHEDULES`; a `Jobyard` has Celery's `beat_schedule` and `add_periodic_task`.
"""

from collections import Counter
from collections.abc import Sequence

from jobyard.schedules.celery_entries import celery_schedules
from jobyard.schedules.housekeeping import HOUSEKEEPING
from jobyard.schedules.schedule import Schedule
from jobyard.settings import SettingsError
from jobyard.settings.application import get_application


def declared_schedules() -> tuple[Schedule, ...]:
    """Return every schedule.

    Raises `SettingsError` if two schedules of the application have one name, or if one of Celery's is wrong.
    """
    application = get_application()
    schedules: Sequence[Schedule] = application.load(application.schedules, "SCHEDULES", ())
    counts = Counter(schedule.name for schedule in schedules)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise SettingsError(f"{application.schedules} has two schedules called {duplicates[0]!r}: rename one")
    by_name = {schedule.name: schedule for schedule in (*HOUSEKEEPING, *celery_schedules(), *schedules)}
    return tuple(by_name.values())
