"""Decides what a supervisor does next about one attempt, as a function of its arguments alone.

Two supervisors use it: one for attempts that follow each other on a thread, one for concurrent coroutines.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from jobyard.jobs.errors import Interruption
from jobyard.worker.execution.interruptions import STOP_GRACE_SECONDS, AttemptStopped, SoftLimitReached


class Limits(NamedTuple):
    """Time limits in seconds from the beginning of an attempt; infinite where a limit is not set."""

    soft: float = math.inf
    hard: float = math.inf


class SentInterruption(NamedTuple):
    """An interruption that was raised in an attempt, and when (monotonic)."""

    interruption: Interruption
    at: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until this time (monotonic), or until something changes."""

    until: float


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Raise this interruption in the attempt."""

    interruption: Interruption


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave the attempt behind: it did not end in time after `stop`, or at its hard limit if that is None."""

    stop: AttemptStopped | None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Keep the attempt from beginning: it has to stop, or has waited too long."""


Step = Wait | Interrupt | GiveUp | Withdraw


def next_step(
    now: float,
    *,
    began: float | None,
    last_sent: SentInterruption | None,
    reason_to_stop: str | None,
    fenced_at: float,
    begins_before: float,
    limits: Limits,
) -> Step:
    """Return the next step for an attempt that has not ended; all times are monotonic.

    `reason_to_stop` comes from the attempt's lease, and at `fenced_at` the lease will give one unless it is
    renewed. An attempt that has not begun by `begins_before` must not begin any more.
    """
    if began is None:
        if reason_to_stop is not None or now >= begins_before:
            return Withdraw()
        return Wait(min(fenced_at, begins_before))
    if last_sent is not None and isinstance(last_sent.interruption, AttemptStopped):
        gives_up_at = last_sent.at + STOP_GRACE_SECONDS
        return GiveUp(last_sent.interruption) if now >= gives_up_at else Wait(gives_up_at)
    if reason_to_stop is not None:
        return Interrupt(AttemptStopped(reason_to_stop))
    if now >= began + limits.hard:
        return GiveUp(None)
    if last_sent is None and now >= began + limits.soft:
        return Interrupt(SoftLimitReached(limits.soft))
    soft_at = began + limits.soft if last_sent is None else math.inf
    return Wait(min(fenced_at, soft_at, began + limits.hard))
