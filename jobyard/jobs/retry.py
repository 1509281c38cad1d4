"""What becomes of a failed attempt: again and when, or never.

The life of a failing job:

1. The task raises. The worker's wrapper asks `retry_delay` and settles the attempt in the ledger: a row in
   the history, and the job is `retrying` with the time of its next attempt, or `dead`.
2. Nothing waits in memory or in the broker. When the time has come the keeper queues and publishes the job.
3. The next attempt has a number of its own. After `max_retries` retries the job is dead.
4. A dead job keeps its payload, its last failure and the history of every attempt until it is pruned.
5. A replay queues it again with a fresh count of retries; the numbering of attempts goes on.

A job whose worker was lost did not fail: it is counted apart (`lost`), and is dead after three losses.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

# Nothing is put off for longer, be it asked for or computed: a date has to be a date in every database.
FARTHEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Which failures are worth another attempt, and how long to wait; the words are Celery's.

    `retry_backoff` is the first delay in seconds (True means 1), doubled for each further retry up to
    `retry_backoff_max`; without it every delay is `default_retry_delay`.
    """

    autoretry_for: tuple[type[BaseException], ...] = ()
    max_retries: int = 3
    retry_backoff: bool | int = False
    retry_backoff_max: int = 600
    retry_jitter: bool = True
    default_retry_delay: int = 180

    @property
    def max_attempts(self) -> int:
        return self.max_retries + 1


def retry_delay(
    policy: RetryPolicy,
    failures: int,
    *,
    wanted: timedelta | None = None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> timedelta:
    """Return how long to wait after the `failures`th failure (from 1), never below zero nor above the cap.

    `wanted` is a delay that the task asked for itself, and wins. Jitter draws evenly from zero to the
    full delay ("full jitter", M. Brooker, AWS Architecture Blog, 2015), so that jobs which failed
    together do not come back together.
    """
    if wanted is not None:
        return min(max(wanted, timedelta(0)), FARTHEST)
    farthest = FARTHEST.total_seconds()
    if not policy.retry_backoff:
        return timedelta(seconds=min(policy.default_retry_delay, farthest))
    # 2**32 s is longer than any cap; the bound keeps a job with a thousand retries from overflowing.
    full = min(int(policy.retry_backoff) * 2 ** min(failures - 1, 32), policy.retry_backoff_max, farthest)
    return timedelta(seconds=uniform(0, full) if policy.retry_jitter else full)
