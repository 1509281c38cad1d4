"""A cache for objects of which a process must have one only, even if threads ask for the first at once."""

import os
import threading
from collections.abc import Callable, Hashable
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class locked_cache(Generic[P, T]):  # noqa: N801 (a decorator)
    """Calls a function once for the same arguments; `functools.cache` may call it once a thread.

    A function that raises is called again the next time.
    """

    def __init__(self, function: Callable[P, T]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._results: dict[Hashable, T] = {}
        self._lock = threading.RLock()
        # A lock that another thread held at the fork would stay locked in the child.
        os.register_at_fork(after_in_child=self._renew_lock)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (*args, *kwargs.items()) if kwargs else args
        try:
            return self._results[key]
        except KeyError:
            pass
        with self._lock:
            if key not in self._results:
                self._results[key] = self._function(*args, **kwargs)
            return self._results[key]

    def cache_clear(self) -> None:
        """Forget every result."""
        self._results.clear()

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()
