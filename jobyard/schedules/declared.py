"""The schedules of this installation: its own housekeeping, and those of the application, which win by
name."""

from collections import Counter
from collections.abc import Sequence

from jobyard.schedules.housekeeping import HOUSEKEEPING
from jobyard.schedules.schedule import Schedule
from jobyard.settings import SettingsError
from jobyard.settings.application import get_application


def declared_schedules() -> tuple[Schedule, ...]:
    """Return every schedule; raises `SettingsError` where two of the application's have one name."""
    application = get_application()
    own: Sequence[Schedule] = application.load(application.schedules, "SCHEDULES", ())
    twice = [name for name, times in Counter(schedule.name for schedule in own).items() if times > 1]
    if twice:
        raise SettingsError(f"{application.schedules} has two schedules called {twice[0]!r}: rename one")
    by_name = {schedule.name: schedule for schedule in (*HOUSEKEEPING, *own)}
    return tuple(by_name.values())
