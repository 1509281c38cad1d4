"""Whether and when a job is tried again after a failed attempt.

The life of a failing job:

1. The task raises. The worker's wrapper asks `retry_delay` and settles the attempt in the ledger: a row in
   the history, and the job is `retrying` with the time of its next attempt, or `dead`.
2. A waiting retry is in neither memory nor broker. When it is due, the keeper queues and publishes the job.
3. The next attempt has the next number. After `max_retries` retries the job is dead.
4. A dead job keeps its payload, its last failure and the history of every attempt until it is pruned.
5. A replay queues the job again with a fresh count of retries; the numbering of attempts goes on.

A job whose worker was lost did not fail: `lost` counts that apart, and after three losses the job is dead.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

# The longest delay, requested or computed: so every resulting date is one that each database can store.
LONGEST_DELAY: Final = timedelta(days=366)
# The `max_attempts` of a job that is tried for ever: the largest number of its column.
UNLIMITED_ATTEMPTS: Final = 2**31 - 1


def shown_max_attempts(max_attempts: int) -> int | None:
    """Return a job's `max_attempts` as people see it: None for a job that is tried for ever."""
    return None if max_attempts == UNLIMITED_ATTEMPTS else max_attempts


def max_retries_of(max_attempts: int) -> int | None:
    """Return how many retries so many attempts leave; None is for ever."""
    return None if max_attempts == UNLIMITED_ATTEMPTS else max_attempts - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Which failures are worth another attempt, and how long to wait; the option names are Celery's.

    `retry_backoff` is the first delay in seconds (True means 1), doubled for each further retry up to
    `retry_backoff_max`; without it every delay is `default_retry_delay`. `max_retries` of None is for ever.
    `retry_kwargs` may hold `max_retries` and `countdown` (seconds), for what `autoretry_for` names alone.
    """

    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int | None = 3
    retry_backoff: bool | int = False
    retry_backoff_max: int = 600
    retry_jitter: bool = True
    default_retry_delay: int = 180

    @property
    def max_attempts(self) -> int:
        """The attempts that a job of the task has, `UNLIMITED_ATTEMPTS` for ever."""
        automatic = self.retry_kwargs.get("max_retries") if self.autoretry_for else None
        retries = self.max_retries if automatic is None else automatic
        return UNLIMITED_ATTEMPTS if retries is None else retries + 1

    @property
    def fixed_delay_seconds(self) -> float:
        """The delay before every retry, where it does not grow."""
        countdown = self.retry_kwargs.get("countdown")
        return self.default_retry_delay if countdown is None else countdown


def retry_delay(
    policy: RetryPolicy,
    failures: int,
    *,
    requested: timedelta | None = None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> timedelta:
    """Return the delay after the `failures`th failure (from 1), never below zero nor above the cap.

    `requested` is a delay that the task asked for itself, and takes precedence. Jitter draws evenly from zero
    to the full delay ("full jitter", M. Brooker, AWS Architecture Blog, 2015), so that jobs which failed
    together are not tried again together.
    """
    if requested is not None:
        return min(max(requested, timedelta(0)), LONGEST_DELAY)
    longest_seconds = LONGEST_DELAY.total_seconds()
    if not policy.retry_backoff:
        return timedelta(seconds=min(policy.fixed_delay_seconds, longest_seconds))
    # 2**32 s is longer than any cap; the bound on the exponent keeps a thousand retries from overflowing.
    full = min(
        int(policy.retry_backoff) * 2 ** min(failures - 1, 32), policy.retry_backoff_max, longest_seconds
    )
    return timedelta(seconds=uniform(0, full) if policy.retry_jitter else full)
