"""Calls functions on threads, but few at the same time: those that take much memory or computing time."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

P = ParamSpec("P")
T = TypeVar("T")


class FewAtOnce:
    """Turns for calls of one kind; each event loop has its own."""

    def __init__(self, kind: str, at_once: int) -> None:
        self._at_once = at_once
        self._limiter: RunVar[CapacityLimiter] = RunVar(kind)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in its turn; return its result."""
        if (limiter := self._limiter.get(None)) is None:
            limiter = CapacityLimiter(self._at_once)
            self._limiter.set(limiter)
        return await run_sync(lambda: function(*args, **kwargs), limiter=limiter)
