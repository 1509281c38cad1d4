"""Says once when a call waits for the ledger in a running event loop, which stands still meanwhile."""

import asyncio

import structlog

log = structlog.get_logger()

_has_warned = False


def warn_in_event_loop(task: str) -> None:
    """Log, once in a process, that a call should be awaited, if this thread runs an event loop."""
    global _has_warned
    if _has_warned or asyncio._get_running_loop() is None:
        return
    _has_warned = True
    log.warning(
        "a job is handed in from a running event loop, which stands still until its row is durable: "
        "write `await task.delay_async(...)` or `await task.submit_async(...)`",
        task=task,
    )
