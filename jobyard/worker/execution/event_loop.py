"""The event loop of a process, on a thread of its own, for tasks that are `async def`.

A loop stands still while one of its coroutines computes or blocks. One that has stood still for too long is
left to what holds it up, and those that come later get a new one.
"""

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar, cast

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.settings import get_settings
from jobyard.worker.execution.attempt_thread import (
    current_call,
    forget_left_behind,
    leave_thread_behind,
    raise_in,
)
from jobyard.worker.execution.interruptions import AttemptStopped

T = TypeVar("T")

log = structlog.get_logger()

BEAT_SECONDS: Final = 0.5
STANDSTILL_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 0.5


class EventLoop:
    """A running loop; `slots` bound how many attempts run at once, and `ended` counts those that did."""

    def __init__(self, most_at_once: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.slots = asyncio.Semaphore(most_at_once)
        self.ended = 0
        self._beat_at = monotonic()
        self.is_left_behind = False
        self._thread = threading.Thread(target=self._run, name="async tasks", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop's thread, soon."""
        self.loop.call_soon_threadsafe(function)

    @property
    def stands_still(self) -> bool:
        return monotonic() > self._beat_at + STANDSTILL_SECONDS

    @property
    def is_this_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def answers(self, within_seconds: float) -> bool:
        answered = threading.Event()
        self.call(answered.set)
        return answered.wait(within_seconds)

    def leave_behind(self) -> None:
        """Give the loop up to what holds it up; it ends when that and all the others on it have ended."""
        self.is_left_behind = True
        leave_thread_behind(self._thread)
        job_id, where = self._culprit()
        log.error("the event loop stands still, later jobs get another", job_id=job_id, where=where)

    def break_off(self) -> None:
        """Raise in what holds the loop up; what blocks in C feels it when it comes back."""
        raise_in(self._thread.ident or 0, AttemptStopped)

    def _culprit(self) -> tuple[str | None, str | None]:
        current = asyncio.current_task(self.loop)
        frame = sys._current_frames().get(self._thread.ident or 0)
        lines = traceback.extract_stack(frame)[-1:] if frame else []
        where = next((f"{line.filename}:{line.lineno} in {line.name}" for line in lines), None)
        return (current.get_name() if current else None), where

    def _run(self) -> None:
        process = os.getpid()
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._beat)
        while not self.loop.is_closed():
            try:
                self.loop.run_forever()
            except BaseException:  # SystemExit in a task that a task has begun ends more than that task
                log.exception("raised past an async task, the event loop goes on")
                continue
            if os.getpid() != process:
                os._exit(1)  # a child that a coroutine has forked, and that would run the others again
            self.loop.close()
        forget_left_behind(self._thread)

    def _beat(self) -> None:
        self._beat_at = monotonic()
        if self.is_left_behind and not asyncio.all_tasks(self.loop):
            self.loop.stop()
        else:
            self.loop.call_later(BEAT_SECONDS, self._beat)


_lock = threading.Lock()
_own: EventLoop | None = None


def get_event_loop() -> EventLoop:
    """Return the loop of this process that begins what is new."""
    global _own
    with _lock:
        if _own is not None and _own.stands_still:
            _own.leave_behind()
            _own = None
        if _own is None:
            _own = EventLoop(get_settings().worker.coroutines)
        return _own


def give_up(loop: EventLoop) -> bool:
    """Break off what holds this loop up, where something does; tell whether it did."""
    global _own
    if loop.is_left_behind:
        return True
    if loop.answers(ANSWER_SECONDS):
        return False
    with _lock:
        if _own is loop:
            loop.leave_behind()
            _own = None
    loop.break_off()
    return True


def _start_anew() -> None:
    # The thread does not cross a fork, unless it was the one that forked: then it runs nothing more.
    global _own, _lock
    if _own is not None and _own.is_this_thread:
        _own.loop.stop()
    _own, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_start_anew)


def run_coroutine(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end; it is cancelled where the attempt that awaits it is interrupted."""
    future = asyncio.run_coroutine_threadsafe(coroutine, get_event_loop().loop)
    call = current_call()
    return future.result() if call is None else cast(T, call.await_coroutine(future))
