"""The exceptions raised in an attempt that has to end, and the time that it gets to do so."""

from typing import Final

from celery.exceptions import SoftTimeLimitExceeded

from jobyard.jobs.errors import Interruption

# From `AttemptStopped` until the attempt's thread or loop is left behind: time for `finally` blocks. Less
# than the 5 s that a worker has for handing back (`jobyard/worker/stopping.py`).
STOP_GRACE_SECONDS: Final = 2.0


class SoftLimitReached(SoftTimeLimitExceeded, Interruption):
    """Celery's exception, raised in a task that has reached its soft limit."""


SoftLimitReached.__qualname__ = SoftTimeLimitExceeded.__qualname__  # the name that Celery's users know


class TimeLimitExceeded(SoftTimeLimitExceeded):
    """An attempt ignored its soft limit and was abandoned at its hard limit."""

    def __init__(self, soft_limit: float, hard_limit: float) -> None:
        super().__init__(
            f"not done after {hard_limit} s, and it did not heed its soft limit of {soft_limit} s"
        )

    def __str__(self) -> str:
        return str(self.args[0])


class AttemptStopped(Interruption):
    """Raised in a task whose attempt no longer counts; not an `Exception`, so that tasks do not catch it."""
