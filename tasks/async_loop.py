"""One event loop for each process, on a thread of its own, for tasks that are `async def`."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def run_coroutine(coroutine: Coroutine[object, object, T], limit_seconds: float | None) -> T:
    """Run a coroutine to its end from a worker's thread; raises `TimeoutError` at the limit."""
    return asyncio.run_coroutine_threadsafe(_within(coroutine, limit_seconds), _loop()).result()


async def _within(coroutine: Coroutine[object, object, T], limit_seconds: float | None) -> T:
    async with asyncio.timeout(limit_seconds):
        return await coroutine


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="async tasks", daemon=True).start()
    return loop


# The thread does not cross a fork, so the child starts a loop of its own.
os.register_at_fork(after_in_child=_loop.cache_clear)
