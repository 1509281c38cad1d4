"""What is raised in an attempt that has to end, and how long it is given to do so."""

from typing import Final

from celery.exceptions import SoftTimeLimitExceeded

from jobyard.jobs.errors import Interruption

# From being told to stop to being left behind: what is cleaned up in a `finally` gets so much time.
STOP_GRACE_SECONDS: Final = 2.0


class SoftLimitReached(SoftTimeLimitExceeded, Interruption):
    """Celery's exception, as it is raised in a task that has reached its soft limit."""


SoftLimitReached.__qualname__ = SoftTimeLimitExceeded.__qualname__  # the name that people know


class TimeLimitExceeded(SoftTimeLimitExceeded):
    """An attempt that did not heed its soft limit was given up at the hard one."""

    def __init__(self, soft_limit: float | None, hard_limit: float | None) -> None:
        words = f"not done after {hard_limit} s, and it did not heed its soft limit of {soft_limit} s"
        super().__init__(words)

    def __str__(self) -> str:
        return str(self.args[0])


class AttemptStopped(Interruption):
    """Raised in a task whose attempt no longer counts; no `Exception`, lest a task take it for a fault."""
