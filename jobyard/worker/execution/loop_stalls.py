"""How long an event loop has stood still, and because of which job.

A coroutine that computes or blocks keeps every other one from going on. That is no fault of theirs, so their
time limits do not count these seconds; the job that blocks is named in the log while it does.
"""

import asyncio
import sys
import threading
import traceback
from typing import Any, Final
from weakref import WeakKeyDictionary

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.tasks.context import running_job_id

log = structlog.get_logger()

HEARTBEAT_SECONDS: Final = 0.5  # between two heartbeats of a loop, and between two looks at it
LATE_SECONDS: Final = 0.25  # by which a heartbeat may be late on a busy machine


class LoopStalls:
    """What one loop's heartbeats, and looks at it from another thread, say about its stalls."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._thread_id = loop, 0
        self._job_ids: WeakKeyDictionary[asyncio.Future[Any], str | None] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._last_heartbeat = self._counted_until = monotonic()
        self._suspect: asyncio.Task[Any] | None = None
        self._is_blocked = False
        self._seconds, self._seconds_by_job = 0.0, dict[str, float]()
        loop.set_task_factory(self._create_task)

    # On the loop's thread.

    def heartbeat(self) -> None:
        """Note that the loop goes on."""
        with self._lock:
            now, self._thread_id = monotonic(), threading.get_ident()
            if self._is_blocked:
                self._count(now)
            self._last_heartbeat = self._counted_until = now
            self._suspect, self._is_blocked = None, False

    def _create_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        # The asyncio tasks that a job creates are that job, too.
        task = asyncio.Task(coroutine, loop=loop, **options)
        self._job_ids[task] = running_job_id()
        return task

    # On any thread.

    def is_late(self, seconds: float) -> bool:
        """Tell whether there was no heartbeat for so long."""
        return monotonic() > self._last_heartbeat + seconds

    def look(self) -> None:
        """Count a stall, and name its cause once: the asyncio task that two looks have found running."""
        if not self.is_late(HEARTBEAT_SECONDS + LATE_SECONDS):
            return
        task = asyncio.current_task(self._loop)
        with self._lock:
            is_found_again = task is not None and task is self._suspect
            is_news = is_found_again and not self._is_blocked
            self._suspect = task
            if is_found_again:
                self._is_blocked = True
                self._count(monotonic())
        if is_news:
            job_id, where = self.blocking_call()
            log.warning("blocks the event loop, and every other job on it", job_id=job_id, where=where)

    def seconds_taken_from(self, job_id: str) -> float:
        """Return for how long other jobs have kept the loop from this one, since the loop began."""
        with self._lock:
            seconds = self._seconds - self._seconds_by_job.get(job_id, 0.0)
            now = monotonic() - max(self._last_heartbeat + HEARTBEAT_SECONDS, self._counted_until)
            is_taken_now = now > 0 and self._blocking_job() not in (None, job_id)
            return seconds + now if is_taken_now else seconds

    def forget(self, job_id: str) -> None:
        """Forget for how long an ended job has blocked the loop."""
        with self._lock:
            self._seconds_by_job.pop(job_id, None)

    def blocking_call(self) -> tuple[str | None, str | None]:
        """Return the id of the job that runs on the loop at this moment, and where in its code it is."""
        frame = sys._current_frames().get(self._thread_id)
        calls = traceback.extract_stack(frame)[-1:] if frame else []
        where = next((f"{call.filename}:{call.lineno} in {call.name}" for call in calls), None)
        return self._blocking_job(), where

    def _blocking_job(self) -> str | None:
        task = asyncio.current_task(self._loop)
        return None if task is None else self._job_of(task)

    def _job_of(self, task: asyncio.Task[Any]) -> str:
        return self._job_ids.get(task) or task.get_name()

    def _count(self, now: float) -> None:
        seconds, self._counted_until = now - self._counted_until, now
        if self._suspect is not None:
            job_id = self._job_of(self._suspect)
            self._seconds += seconds
            self._seconds_by_job[job_id] = self._seconds_by_job.get(job_id, 0.0) + seconds
