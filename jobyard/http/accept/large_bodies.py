"""Runs what reads a body on a thread, and large ones few at a time: a wrong one may take much memory."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from jobyard.http.few_at_once import FewAtOnce

P = ParamSpec("P")
T = TypeVar("T")

HUGE_BYTES: Final = 2 * 1024 * 1024
LARGE_BYTES: Final = 128 * 1024
_HUGE: Final = FewAtOnce("huge bodies", 1)
_LARGE: Final = FewAtOnce("large bodies", 4)


async def run_for_body(body_bytes: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that reads a body of that many bytes, on a thread; return its result."""
    if body_bytes >= HUGE_BYTES:
        return await _HUGE.run(function, *args, **kwargs)
    if body_bytes >= LARGE_BYTES:
        return await _LARGE.run(function, *args, **kwargs)
    return await run_in_threadpool(function, *args, **kwargs)
