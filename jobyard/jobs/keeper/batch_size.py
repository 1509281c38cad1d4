"""How many jobs the keeper moves in one transaction: more while it is behind and each stays short."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from jobyard.jobs.clock import monotonic

# A short transaction: another writer of the same SQLite file waits for one at the most, and hardly notices.
SHORT_SECONDS: Final = 0.1
MAX_BATCHES: Final = 10  # the largest size, as a multiple of the first


class BatchSize:
    """The size of the next batch, while one duty repeats; the first has the size of the settings.

    `is_taken` is false once the broker did not take what was published.
    """

    def __init__(self, batch: int) -> None:
        self.size, self.is_first, self.is_taken = batch, True, True
        self._min, self._max, self._took_seconds = batch, batch * MAX_BATCHES, 0.0

    @contextmanager
    def measure(self) -> Iterator[int]:
        """Measure the time of a transaction, which gets the size."""
        began = monotonic()
        yield self.size
        self._took_seconds = monotonic() - began

    def adjust(self) -> None:
        """Set the next size: twice the last after a short transaction, half of it after a long one."""
        self.is_first = False
        if self._took_seconds < SHORT_SECONDS:
            self.size = min(self._max, self.size * 2)
        elif self._took_seconds > 2 * SHORT_SECONDS:
            self.size = max(self._min, self.size // 2)
