"""Control commands to workers (`celery inspect`, `celery control`, Flower), if the broker carries them."""

from typing import Any

from celery.app import control

from jobyard.broker.broadcast import no_broadcast_reason
from jobyard.jobs.errors import RemoteControlError
from jobyard.settings import get_settings


class Control(control.Control):
    """Celery's remote control, which raises where the broker carries no control commands."""

    def broadcast(self, command: str, *arguments: Any, **options: Any) -> Any:
        """Overridden so that no caller waits for answers that cannot come; raises `RemoteControlError`."""
        if reason := no_broadcast_reason(get_settings().broker_url):
            raise RemoteControlError(reason)
        return super().broadcast(command, *arguments, **options)
