"""`wait_until`: tests wait for what they need, never for a time."""

from collections.abc import Callable
from time import monotonic, sleep


def wait_until(predicate: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as `predicate` is true; fail with `what` was waited for when the time is up."""
    deadline = monotonic() + seconds
    while not predicate():
        if monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        sleep(0.02)
