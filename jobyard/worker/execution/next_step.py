"""What a supervisor does next about one attempt, decided from what it knows and from nothing else.

Two supervisors ask here: one for attempts that follow each other on a thread, one for coroutines side by
side.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from jobyard.jobs.errors import Interruption
from jobyard.worker.execution.interruptions import STOP_GRACE_SECONDS, AttemptStopped, SoftLimitReached


class Limits(NamedTuple):
    """Seconds from the beginning of an attempt; infinite where there is none."""

    soft: float = math.inf
    hard: float = math.inf

    @classmethod
    def of(cls, soft: float | None, hard: float | None) -> "Limits":
        return cls(soft or math.inf, hard or math.inf)


class Told(NamedTuple):
    """The last interruption that an attempt was sent, and when (monotonic)."""

    interruption: Interruption
    at: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done before this moment (monotonic), unless something changes."""

    until: float


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Raise this in the attempt."""

    interruption: Interruption


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave the attempt behind: it did not end in time after `stop`, or at its hard limit where that is
    None."""

    stop: AttemptStopped | None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Keep the attempt from beginning: it is to stop, or has waited too long."""


Step = Wait | Interrupt | GiveUp | Withdraw


def next_step(
    now: float,
    *,
    began: float | None,
    told: Told | None,
    reason_to_stop: str | None,
    fenced_at: float,
    begins_before: float,
    limits: Limits,
) -> Step:
    """Return the next step about an attempt that has not ended; all times are monotonic.

    `reason_to_stop` is what its lease says now, and `fenced_at` when the lease will say so unless it is
    renewed. An attempt that has not begun by `begins_before` does not begin any more.
    """
    if began is None:
        if reason_to_stop is not None or now >= begins_before:
            return Withdraw()
        return Wait(min(fenced_at, begins_before))
    if told is not None and isinstance(told.interruption, AttemptStopped):
        gives_up_at = told.at + STOP_GRACE_SECONDS
        return GiveUp(told.interruption) if now >= gives_up_at else Wait(gives_up_at)
    if reason_to_stop is not None:
        return Interrupt(AttemptStopped(reason_to_stop))
    if now >= began + limits.hard:
        return GiveUp(None)
    if told is None and now >= began + limits.soft:
        return Interrupt(SoftLimitReached(limits.soft))
    soft_at = began + limits.soft if told is None else math.inf
    return Wait(min(fenced_at, soft_at, began + limits.hard))
