"""Orders to workers (`celery inspect`, `celery control`, Flower), as far as the broker carries them."""

from typing import Any

from celery.app import control

from jobyard.broker.broadcast import no_events
from jobyard.jobs.errors import RemoteControlError
from jobyard.settings import get_settings


class Control(control.Control):
    """Celery's remote control, which says so where nobody could hear it."""

    def broadcast(self, command: str, *arguments: Any, **options: Any) -> Any:
        """Overridden so that nobody waits for answers that cannot come; raises `RemoteControlError`."""
        if words := no_events(get_settings().broker_url):
            raise RemoteControlError(words)
        return super().broadcast(command, *arguments, **options)
