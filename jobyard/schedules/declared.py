"""The schedules of this installation: its housekeeping, and the application's, which win by name."""

from collections import Counter
from collections.abc import Sequence

from jobyard.schedules.housekeeping import HOUSEKEEPING
from jobyard.schedules.schedule import Schedule
from jobyard.settings import SettingsError
from jobyard.settings.application import get_application


def declared_schedules() -> tuple[Schedule, ...]:
    """Return every schedule; raises `SettingsError` if two schedules of the application have one name."""
    application = get_application()
    schedules: Sequence[Schedule] = application.load(application.schedules, "SCHEDULES", ())
    counts = Counter(schedule.name for schedule in schedules)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise SettingsError(f"{application.schedules} has two schedules called {duplicates[0]!r}: rename one")
    by_name = {schedule.name: schedule for schedule in (*HOUSEKEEPING, *schedules)}
    return tuple(by_name.values())
