"""Celery's consumer, with pauses between its tries to use a broker that accepts connections and nothing else.

Celery tries again at once: with a full Redis a worker opened a dozen connections a second, with a warning for
each, and a CRITICAL traceback every second.
"""

import warnings
from time import sleep
from typing import Any, Final

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.state import maybe_shutdown

from jobyard.jobs.clock import monotonic
from jobyard.worker.unknown_tasks import UnknownTasksConsumer

# The pauses before the first tries; further ones wait as long as the last of these.
PAUSES_SECONDS: Final = (0.0, 1.0, 2.0, 5.0)
# A connection that lasted for this long was a working one, and the next loss is a first one.
STABLE_SECONDS: Final = 30.0
# How often a pausing worker checks whether it is to stop.
STOP_CHECK_SECONDS: Final = 0.1

# It is about a setting that Jobyard has set, and comes with every lost connection.
warnings.filterwarnings(
    "ignore", "\nIn Celery 5.1 we introduced an optional breaking change", CPendingDeprecationWarning
)


class PatientConsumer(UnknownTasksConsumer):
    """Celery's consumer, which pauses before it uses a broker again that has just failed."""

    _losses = 0
    _last_loss_at = -STABLE_SECONDS

    def on_connection_error_after_connected(self, exc: Any) -> None:
        """Overridden so that the worker pauses, ever longer while the broker does not take what it sends."""
        super().on_connection_error_after_connected(exc)
        if monotonic() - self._last_loss_at > STABLE_SECONDS:
            self._losses = 0
        resume_at = monotonic() + PAUSES_SECONDS[min(self._losses, len(PAUSES_SECONDS) - 1)]
        while monotonic() < resume_at:
            maybe_shutdown()
            sleep(STOP_CHECK_SECONDS)
        self._losses, self._last_loss_at = self._losses + 1, monotonic()
