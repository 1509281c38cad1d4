"""Runs what reads a body on a thread, and large ones few at a time: a wrong one may take much memory."""

from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

P = ParamSpec("P")
T = TypeVar("T")


class _Limit(NamedTuple):
    body_bytes: int
    at_once: int
    limiter: RunVar[CapacityLimiter]  # of each event loop


# The first that a body reaches counts; smaller bodies have the usual threads.
_LIMITS: Final = (
    _Limit(2 * 1024 * 1024, 1, RunVar("huge bodies")),
    _Limit(128 * 1024, 4, RunVar("large bodies")),
)


async def run_for_body(body_bytes: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that reads a body of that many bytes, on a thread; return its result."""
    return await run_sync(lambda: function(*args, **kwargs), limiter=_limiter_for(body_bytes))


def _limiter_for(body_bytes: int) -> CapacityLimiter | None:
    limit = next((limit for limit in _LIMITS if body_bytes >= limit.body_bytes), None)
    if limit is None:
        return None
    if (limiter := limit.limiter.get(None)) is None:
        limiter = CapacityLimiter(limit.at_once)
        limit.limiter.set(limiter)
    return limiter
