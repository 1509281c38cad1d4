"""Runs a coroutine for synchronous code, such as a direct call of an `async def` task."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


def _run_on_a_new_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    if not _has_running_loop():
        return asyncio.run(coroutine)
    # A thread can run one event loop only, so the coroutine gets a thread of its own and this one waits.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(copy_context().run, asyncio.run, coroutine).result()


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_runner: Runner = _run_on_a_new_loop


def use_runner(runner: Runner) -> None:
    """Run coroutines with `runner` from now on; workers set one with an interruptible event loop."""
    global _runner
    _runner = runner


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result."""
    result: T = _runner(coroutine)
    return result
