"""A thread that runs attempts for a worker's thread, which watches it and can leave it behind.

Python cannot stop a thread from outside. It can raise an exception in it, which takes effect at the thread's
next bytecode. A thread that blocks in C and does not return is left behind, counted, and replaced.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from time import sleep
from typing import Any, Generic, TypeVar

from jobyard.jobs.clock import monotonic

T = TypeVar("T")

_local = threading.local()
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
        """Raise `error` in the function wherever it is, unless it is over."""
        with self._lock:
            if self.is_over:
                return
            self._interruption = error
            if self._coroutine is not None:
                self._coroutine.cancel()
            else:
                raise_in(self._thread_id, type(error))

    def await_coroutine(self, future: "Future[Any]") -> Any:
        """Wait in the function for a coroutine, and cancel the coroutine if the function is interrupted."""
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
        """Call the function on this thread; set `value` or `error`, even if an interruption comes late."""
        self._thread_id, _local.call, has_begun, process = threading.get_ident(), self, False, os.getpid()
        self.began = monotonic()
        while not self.is_over:
            try:
                if not has_begun:
                    has_begun = True
                    self.value = self.function()
                with self._lock:
                    self.is_over = True
                if self._interruption is not None:
                    _absorb_pending(self._thread_id)
            except BaseException as error:  # an interruption may also come between any two of these lines
                self.error = error
            if os.getpid() != process:
                os._exit(_exit_code(self.error))  # a child that the task has forked, and that returned here
        self.ended, _local.call = monotonic(), None


class CallSequence(Generic[T]):
    """Calls on an attempt thread, one after another; `changed` is set when the last is over.

    No other thread is woken between two calls, so short calls have little overhead.
    """

    def __init__(self, functions: Iterable[Callable[[], T]]) -> None:
        self.calls = [ThreadCall(function) for function in functions]
        self.changed = threading.Event()
        self._lock = threading.Lock()
        self._begun, self._end = 0, len(self.calls)

    def __len__(self) -> int:
        return self._end

    def end_after_current(self) -> None:
        """Begin no further call: the sequence ends with the call that began last."""
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


def raise_in(thread_id: int, kind: type[BaseException]) -> None:
    """Raise an exception in a thread at its next bytecode, instead of one that is still pending there."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(kind))


class _Absorbed(BaseException):
    pass


def _absorb_pending(own_thread_id: int) -> None:
    """Make sure that no exception is pending in this thread, which must raise no further one in itself.

    Cancelling it (a NULL to `PyThreadState_SetAsyncExc`) makes Python 3.11 hang under a tracer: a debugger,
    a profiler or coverage.
    """
    try:
        raise_in(own_thread_id, _Absorbed)
        while True:
            sleep(0)
    except BaseException:  # the pending one, if it came before it was replaced
        pass


def current_call() -> ThreadCall[Any] | None:
    """Return the call that this thread is executing, or None outside an attempt thread."""
    return getattr(_local, "call", None)


class AttemptThread:
    """A thread that executes call sequences one after another."""

    def __init__(self) -> None:
        self._sequences: SimpleQueue[CallSequence[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="attempts", daemon=True)
        self._thread.start()

    def start(self, functions: Iterable[Callable[[], T]]) -> CallSequence[T]:
        """Start a sequence of calls; its `changed` is set when the last call is over."""
        sequence = CallSequence(functions)
        self._sequences.put(sequence)
        return sequence

    def leave_behind(self) -> None:
        """Abandon the thread: it ends when its call does, and the next sequence gets a new thread."""
        leave_thread_behind(self._thread)
        self._sequences.put(None)
        _local.thread = None

    def _work(self) -> None:
        while (sequence := self._sequences.get()) is not None:
            sequence.execute()
        forget_thread_left_behind(threading.current_thread())


def get_attempt_thread() -> AttemptThread:
    """Return the attempt thread that belongs to the calling thread of the worker."""
    thread: AttemptThread | None = getattr(_local, "thread", None)
    if thread is None:
        thread = _local.thread = AttemptThread()
    return thread


def leave_thread_behind(thread: threading.Thread) -> None:
    """Count a thread as still running an abandoned call, until `forget_thread_left_behind`."""
    _left_behind.add(thread)


def forget_thread_left_behind(thread: threading.Thread) -> None:
    """Stop counting a thread whose abandoned call has ended."""
    _left_behind.discard(thread)


def threads_left_behind() -> int:
    """Return how many threads of this process still run abandoned calls."""
    return len(_left_behind)
