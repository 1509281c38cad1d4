"""Runs what searches many jobs on a thread, and few at once: they take the processor from who hands in."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

P = ParamSpec("P")
T = TypeVar("T")

SEARCHES_AT_ONCE: Final = 2
_limiter: Final[RunVar[CapacityLimiter]] = RunVar("searches")  # of each event loop


async def run_search(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that searches the ledger, in its turn; return its result."""
    if (limiter := _limiter.get(None)) is None:
        limiter = CapacityLimiter(SEARCHES_AT_ONCE)
        _limiter.set(limiter)
    return await run_sync(lambda: function(*args, **kwargs), limiter=limiter)
