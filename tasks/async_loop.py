"""One event loop for each process, on a thread of its own, for tasks that are `async def`."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from typing import TypeVar, cast

from tasks.runner import current_run

T = TypeVar("T")


def run_coroutine(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end; it is cancelled where the attempt that awaits it is interrupted."""
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    run = current_run()
    return future.result() if run is None else cast(T, run.await_coroutine(future))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="async tasks", daemon=True).start()
    return loop


# The thread does not cross a fork, so the child starts a loop of its own.
os.register_at_fork(after_in_child=_loop.cache_clear)
