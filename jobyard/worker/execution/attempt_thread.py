"""A thread that runs what a worker's thread hands it, so that the worker's thread can watch, and leave.

Python cannot stop a thread from outside. It can raise an exception in it, which takes effect at the thread's
next bytecode. A thread that blocks in C and does not return is left behind, counted, and replaced.
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


class ThreadCall(Generic[T]):
    """One call on an attempt thread; `began` and `ended` are monotonic."""

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
        self._interruption: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Raise `error` in the function, wherever it is; nothing happens when it is over."""
        with self._lock:
            if self.is_over:
                return
            self._interruption = error
            if self._coroutine is not None:
                self._coroutine.cancel()
            else:
                raise_in(self._thread_id, type(error))

    def await_coroutine(self, future: "Future[Any]") -> Any:
        """Wait in the function for a coroutine, which is cancelled where the function is interrupted."""
        with self._lock:
            self._coroutine = future
            if self._interruption is not None:
                future.cancel()
        try:
            return future.result()
        except CancelledError:
            raise (self._interruption or CancelledError()) from None
        finally:
            with self._lock:
                self._coroutine = None

    def execute(self) -> None:
        """Call the function on this thread, and end with `value` or `error` whatever is raised when."""
        self._thread_id, _own.call, has_begun, process = threading.get_ident(), self, False, os.getpid()
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
        self.ended, _own.call = monotonic(), None


class CallSequence(Generic[T]):
    """Calls on an attempt thread, one after another; `changed` is set when the last is over.

    Between two calls no other thread is woken, so short ones cost little more than the calls themselves.
    """

    def __init__(self, functions: Iterable[Callable[[], T]]) -> None:
        self.calls = [ThreadCall(function) for function in functions]
        self.changed = threading.Event()
        self._lock = threading.Lock()
        self._begun, self._end = 0, len(self.calls)

    def __len__(self) -> int:
        return self._end

    def cut(self) -> None:
        """Let nothing more begin: the sequence ends with the call that began last."""
        with self._lock:
            self._end = self._begun

    def execute(self) -> None:
        while (call := self._next()) is not None:
            call.execute()
        self.changed.set()

    def _next(self) -> ThreadCall[T] | None:
        with self._lock:
            if self._begun == self._end:
                return None
            self._begun += 1
            return self.calls[self._begun - 1]


def _exit_code(error: BaseException | None) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(error is not None)


def raise_in(thread_id: int, kind: type[BaseException] | None) -> None:
    """Raise in a thread at its next bytecode; None takes back what has not been raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(kind) if kind is not None else None
    )


def current_call() -> ThreadCall[Any] | None:
    """Return the call that this thread is executing, or None where it is no attempt thread."""
    return getattr(_own, "call", None)


class AttemptThread:
    """A thread with a queue of call sequences, one at a time."""

    def __init__(self) -> None:
        self._sequences: SimpleQueue[CallSequence[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="attempts", daemon=True)
        self._thread.start()

    def start(self, functions: Iterable[Callable[[], T]]) -> CallSequence[T]:
        """Begin a sequence of calls; wait for `changed`, and look at its calls."""
        sequence = CallSequence(functions)
        self._sequences.put(sequence)
        return sequence

    def leave_behind(self) -> None:
        """Give the thread up: it ends when its call does, and the next sequence gets a new thread."""
        leave_thread_behind(self._thread)
        self._sequences.put(None)
        _own.thread = None

    def _work(self) -> None:
        while (sequence := self._sequences.get()) is not None:
            sequence.execute()
        forget_left_behind(threading.current_thread())


def get_attempt_thread() -> AttemptThread:
    """Return the attempt thread that belongs to this thread of the worker's."""
    thread: AttemptThread | None = getattr(_own, "thread", None)
    if thread is None:
        thread = _own.thread = AttemptThread()
    return thread


def leave_thread_behind(thread: threading.Thread) -> None:
    """Count a thread among those that still run what was given up, until `forget_left_behind`."""
    _left_behind.add(thread)


def forget_left_behind(thread: threading.Thread) -> None:
    """Count a thread no longer among those that still run what was given up."""
    _left_behind.discard(thread)


def threads_left_behind() -> int:
    """Return how many threads of this process still run what was given up."""
    return len(_left_behind)
