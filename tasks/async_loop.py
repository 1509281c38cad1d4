"""One event loop for each process, on a thread of its own, for tasks that are `async def`."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from typing import TypeVar

from celery.exceptions import SoftTimeLimitExceeded

T = TypeVar("T")


def run_coroutine(coroutine: Coroutine[object, object, T], limit_seconds: float | None) -> T:
    """Run a coroutine to its end from a worker's thread; raises `SoftTimeLimitExceeded` at the limit."""
    return asyncio.run_coroutine_threadsafe(_within(coroutine, limit_seconds), _loop()).result()


async def _within(coroutine: Coroutine[object, object, T], limit_seconds: float | None) -> T:
    try:
        async with asyncio.timeout(limit_seconds) as limit:
            return await coroutine
    except TimeoutError:
        if limit.expired():  # and not a time-out of the task's own
            raise SoftTimeLimitExceeded(limit_seconds) from None
        raise


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="async tasks", daemon=True).start()
    return loop


# The thread does not cross a fork, so the child starts a loop of its own.
os.register_at_fork(after_in_child=_loop.cache_clear)
