"""A thread that runs what a worker's thread hands it, so that the worker's thread can watch, and leave.

Python cannot stop a thread from outside. It can raise an exception in it, which takes effect at the thread's
next bytecode; a thread that blocks in C until kingdom come is left behind, counted, and replaced.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from jobyard.jobs.clock import monotonic

T = TypeVar("T")

_own = threading.local()
_left_behind: set[threading.Thread] = set()


class Run(Generic[T]):
    """One call on a runner's thread; `began` and `ended` are monotonic."""

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.value: T | None = None
        self.error: BaseException | None = None
        self.began: float | None = None
        self.ended: float | None = None
        self.is_over = False
        self._lock = threading.Lock()
        self._thread_id = 0
        self._coroutine: Future[Any] | None = None
        self._asked: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Raise `error` in the function, wherever it is; nothing happens when it is over."""
        with self._lock:
            if self.is_over:
                return
            self._asked = error
            if self._coroutine is not None:
                self._coroutine.cancel()
            else:
                raise_in(self._thread_id, type(error))

    def await_coroutine(self, future: "Future[Any]") -> Any:
        """Wait in the function for a coroutine, which is cancelled where the function is interrupted."""
        with self._lock:
            self._coroutine = future
            if self._asked is not None:
                future.cancel()
        try:
            return future.result()
        except CancelledError:
            raise (self._asked or CancelledError()) from None
        finally:
            with self._lock:
                self._coroutine = None

    def execute(self) -> None:
        """Call the function on this thread, and end with `value` or `error` whatever is raised when."""
        self._thread_id, _own.run, has_begun, process = threading.get_ident(), self, False, os.getpid()
        self.began = monotonic()
        while not self.is_over:
            try:
                if not has_begun:
                    has_begun = True
                    self.value = self.function()
                with self._lock:
                    self.is_over = True
                    raise_in(self._thread_id, None)
            except BaseException as error:  # may also come late, between two of these lines
                self.error = error
            if os.getpid() != process:
                os._exit(_exit_code(self.error))  # a child that the task has forked, and that came back here
        self.ended, _own.run = monotonic(), None


class Line(Generic[T]):
    """Calls on a runner's thread, one after another; `changed` is set when it is over.

    So short ones cost no more than the calls: nobody is woken between them.
    """

    def __init__(self, functions: Iterable[Callable[[], T]]) -> None:
        self.runs = [Run(function) for function in functions]
        self.changed = threading.Event()
        self._lock = threading.Lock()
        self._begun, self._end = 0, len(self.runs)

    def __len__(self) -> int:
        return self._end

    def cut(self) -> None:
        """Let nothing more begin: the line is as long as it has come."""
        with self._lock:
            self._end = self._begun

    def execute(self) -> None:
        while (run := self._next()) is not None:
            run.execute()
        self.changed.set()

    def _next(self) -> Run[T] | None:
        with self._lock:
            if self._begun == self._end:
                return None
            self._begun += 1
            return self.runs[self._begun - 1]


def _exit_code(error: BaseException | None) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(error is not None)


def raise_in(thread_id: int, kind: type[BaseException] | None) -> None:
    """Raise in a thread at its next bytecode; None takes back what has not been raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(kind) if kind is not None else None
    )


def current_run() -> Run[Any] | None:
    """Return the run that this thread is executing, or None where it is no runner's thread."""
    return getattr(_own, "run", None)


class Runner:
    """A thread with a queue of lines, one at a time."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[Line[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="attempts", daemon=True)
        self._thread.start()

    def start(self, functions: Iterable[Callable[[], T]]) -> Line[T]:
        """Begin a line of calls; wait for `changed`, and look at its runs."""
        line = Line(functions)
        self._lines.put(line)
        return line

    def leave_behind(self) -> None:
        """Give the thread up: it ends when what it runs does, and the next line gets a new thread."""
        leave_thread_behind(self._thread)
        self._lines.put(None)
        _own.runner = None

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            line.execute()
        has_come_back(threading.current_thread())


def get_runner() -> Runner:
    """Return the runner of this worker's thread."""
    runner: Runner | None = getattr(_own, "runner", None)
    if runner is None:
        runner = _own.runner = Runner()
    return runner


def leave_thread_behind(thread: threading.Thread) -> None:
    """Count a thread among those that still run what was given up, until it `has_come_back`."""
    _left_behind.add(thread)


def has_come_back(thread: threading.Thread) -> None:
    _left_behind.discard(thread)


def threads_left_behind() -> int:
    """Return how many threads of this process still run what was given up."""
    return len(_left_behind)
