"""The event loop of a process, on its own thread, for `async def` tasks.

A loop is blocked while one of its coroutines computes or blocks. A loop that has been blocked for too long is
left behind with the coroutine that blocks it, and later attempts get a new loop.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from time import sleep
from typing import Final, TypeVar, cast

import structlog

from jobyard.settings import get_settings
from jobyard.worker.execution.attempt_thread import (
    current_call,
    forget_thread_left_behind,
    leave_thread_behind,
    raise_in,
)
from jobyard.worker.execution.interruptions import AttemptStopped
from jobyard.worker.execution.loop_stalls import HEARTBEAT_SECONDS, LoopStalls

T = TypeVar("T")

log = structlog.get_logger()

BLOCKED_AFTER_SECONDS: Final = 5.0  # without a heartbeat
RESPONSE_SECONDS: Final = 0.5  # within which a loop that is not blocked runs a call


class EventLoop:
    """A running loop; `slots` limits how many attempts run at once, and `ended` counts the ended ones."""

    def __init__(self, most_at_once: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.slots = asyncio.Semaphore(most_at_once)
        self.ended = 0
        self.stalls = LoopStalls(self.loop)
        self.is_left_behind = False
        self._thread = threading.Thread(target=self._run, name="async tasks", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, name="watch of async tasks", daemon=True).start()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop's thread as soon as the loop is free."""
        self.loop.call_soon_threadsafe(function)

    @property
    def is_blocked(self) -> bool:
        return self.stalls.is_late(BLOCKED_AFTER_SECONDS)

    @property
    def is_this_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def is_responsive(self, within_seconds: float) -> bool:
        answered = threading.Event()
        self.call(answered.set)
        return answered.wait(within_seconds)

    def leave_behind(self) -> None:
        """Abandon the blocked loop; its thread ends when all coroutines on it have ended."""
        self.is_left_behind = True
        leave_thread_behind(self._thread)
        job_id, where = self.stalls.blocking_call()
        log.error("the event loop stands still, later jobs get another", job_id=job_id, where=where)

    def interrupt(self) -> None:
        """Raise `AttemptStopped` in the code that blocks the loop, or once it returns from C."""
        raise_in(self._thread.ident or 0, AttemptStopped)

    def _run(self) -> None:
        process = os.getpid()
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._heartbeat)
        while not self.loop.is_closed():
            try:
                self.loop.run_forever()
            except BaseException:  # such as a SystemExit in an asyncio task that an attempt has created
                log.exception("raised past an async task, the event loop goes on")
                continue
            if os.getpid() != process:
                os._exit(1)  # a child that a coroutine has forked, which would run the other coroutines again
            self.loop.close()
        forget_thread_left_behind(self._thread)

    def _watch(self) -> None:
        while not self.loop.is_closed():
            sleep(HEARTBEAT_SECONDS)
            self.stalls.look()

    def _heartbeat(self) -> None:
        self.stalls.heartbeat()
        if self.is_left_behind and not asyncio.all_tasks(self.loop):
            self.loop.stop()
        else:
            self.loop.call_later(HEARTBEAT_SECONDS, self._heartbeat)


_lock = threading.Lock()
_event_loop: EventLoop | None = None


def get_event_loop() -> EventLoop:
    """Return this process's loop for new attempts, which replaces a blocked one."""
    global _event_loop
    with _lock:
        if _event_loop is not None and _event_loop.is_blocked:
            _event_loop.leave_behind()
            _event_loop = None
        if _event_loop is None:
            _event_loop = EventLoop(get_settings().worker.coroutines)
        return _event_loop


def abandon_if_blocked(loop: EventLoop) -> bool:
    """If this loop is blocked, leave it behind and interrupt it; return whether it was."""
    global _event_loop
    if loop.is_left_behind:
        return True
    if loop.is_responsive(RESPONSE_SECONDS):
        return False
    with _lock:
        if _event_loop is loop:
            loop.leave_behind()
            _event_loop = None
    loop.interrupt()
    return True


def _reset_after_fork() -> None:
    # A fork does not copy the loop's thread, unless that thread has forked: then its loop has to stop.
    global _event_loop, _lock
    if _event_loop is not None and _event_loop.is_this_thread:
        _event_loop.loop.stop()
    _event_loop, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_reset_after_fork)


def run_coroutine(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end, and cancel it if the attempt that waits for it is interrupted."""
    future = asyncio.run_coroutine_threadsafe(coroutine, get_event_loop().loop)
    call = current_call()
    return future.result() if call is None else cast(T, call.await_coroutine(future))
