"""How many jobs the keeper moves in one transaction: more while it is behind, as long as each stays short."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from jobyard.jobs.clock import monotonic

# Whoever wants to write to the same SQLite file waits for one transaction at the most, and hardly notices.
SHORT_SECONDS: Final = 0.1
MOST_BATCHES: Final = 10


class Stride:
    """The size of the next group, for one stretch of one duty; the first is a batch.

    `gets_out` is false once the broker did not take what it was given.
    """

    def __init__(self, batch: int) -> None:
        self.size, self.is_first, self.gets_out = batch, True, True
        self._least, self._most, self._took = batch, batch * MOST_BATCHES, 0.0

    @contextmanager
    def measured(self) -> Iterator[int]:
        """Take the time of a transaction, which is given the size."""
        began = monotonic()
        yield self.size
        self._took = monotonic() - began

    def lengthen(self) -> None:
        """Go on: by twice as much after a short transaction, by half of it after a long one."""
        self.is_first = False
        if self._took < SHORT_SECONDS:
            self.size = min(self._most, self.size * 2)
        elif self._took > 2 * SHORT_SECONDS:
            self.size = max(self._least, self.size // 2)
