"""What each side offers for putting jobs into its queue; `produce.py` is its command line.

Peers import this from environments of their own, so it needs nothing but Python.
"""

import asyncio
from collections.abc import Awaitable, Sequence

# More at once only means more connections, which some clients open without end.
AT_ONCE = 100


async def together(calls: Sequence[Awaitable[object]]) -> None:
    """Await calls at the same time, a hundred of them at once."""
    for first in range(0, len(calls), AT_ONCE):
        await asyncio.gather(*calls[first : first + AT_ONCE])


class Producer:
    """Puts jobs into one queue; the job's function and its payload follow from the task and the number."""

    async def open(self) -> None:
        """Connect, so that the first job does not pay for it."""

    async def one(self, task: str, number: int) -> None:
        """Put one job in, and return when it is there."""
        raise NotImplementedError

    async def many(self, task: str, numbers: range) -> None:
        """Put a group of jobs in, by the fastest way that the library documents."""
        for number in numbers:
            await self.one(task, number)

    async def close(self) -> None:
        """Disconnect."""
