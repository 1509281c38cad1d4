"""How often and how long a mail is tried again that the mail server cannot take now.

RFC 5321, 4.5.4.1, asks for days of patience. The pauses are not shortened by chance, because greylisting
refuses what comes back too early, and the workers' threads bound how many mails are sent at once.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

LONGEST_PAUSE: Final = timedelta(hours=1)


@dataclass(frozen=True)
class RetrySchedule:
    """The first pause in seconds, which doubles up to the longest one, and the number of retries."""

    first_seconds: int
    longest_seconds: int
    retries: int


def retry_schedule(first: timedelta, total: timedelta) -> RetrySchedule:
    """Return the schedule whose pauses are `total` together, or a little less; it has at least one retry."""
    first_seconds = pause = math.ceil(first.total_seconds())
    longest_seconds = max(first_seconds, int(LONGEST_PAUSE.total_seconds()))
    retries, left = 0, total.total_seconds()
    while pause <= left:
        retries, left, pause = retries + 1, left - pause, min(2 * pause, longest_seconds)
    return RetrySchedule(first_seconds, longest_seconds, max(retries, 1))
