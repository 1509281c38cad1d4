"""What is raised in an attempt that has to end, and how long it is given to do so."""

from typing import Final

from celery.exceptions import SoftTimeLimitExceeded

from jobyard.jobs.errors import Interruption

# From being told to stop until its thread or loop is left behind: for what is cleaned up in a `finally`. Less
# than the 5 s that a worker takes for handing back (`jobyard/worker/stopping.py`).
STOP_GRACE_SECONDS: Final = 2.0


class SoftLimitReached(SoftTimeLimitExceeded, Interruption):
    """Celery's exception, as it is raised in a task that has reached its soft limit."""


SoftLimitReached.__qualname__ = SoftTimeLimitExceeded.__qualname__  # the name that people know


class TimeLimitExceeded(SoftTimeLimitExceeded):
    """An attempt that did not heed its soft limit was given up at the hard one."""

    def __init__(self, soft_limit: float | None, hard_limit: float | None) -> None:
        super().__init__(
            f"not done after {hard_limit} s, and it did not heed its soft limit of {soft_limit} s"
        )

    def __str__(self) -> str:
        return str(self.args[0])


class AttemptStopped(Interruption):
    """Raised in a task whose attempt no longer counts; no `Exception`, lest a task take it for a fault."""
