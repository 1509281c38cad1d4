"""Runs a coroutine for a caller that is none itself: a direct call of a task that is `async def`."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


def _run_on_a_new_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    if not _has_running_loop():
        return asyncio.run(coroutine)
    # A thread has one running loop at most, and this one waits meanwhile.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_runner: Runner = _run_on_a_new_loop


def use_runner(runner: Runner) -> None:
    """Let `runner` run the coroutines from now on; workers have an event loop that can be interrupted."""
    global _runner
    _runner = runner


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returned."""
    result: T = _runner(coroutine)
    return result
