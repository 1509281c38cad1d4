"""A cache for objects of which a process must have one only, even if threads ask for the first at once."""

import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any, Final, Generic, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")

_caches: "Final[WeakSet[locked_cache[..., Any]]]" = WeakSet()


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
        _caches.add(self)

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

    def preset(self, result: T) -> None:
        """Return `result` from calls without arguments from now on, and do not call the function."""
        self._results[()] = result

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()


def use_fresh_caches() -> Callable[[], None]:
    """Make every cached object anew from now on, in all threads; return what brings the old ones back."""
    before = {cache: cache._results for cache in list(_caches)}
    for cache in before:
        cache._results = {}

    def go_back() -> None:
        for cache in list(_caches):
            cache._results = before.get(cache, {})

    return go_back


@contextmanager
def fresh_caches() -> Iterator[None]:
    """Make every cached object anew in the block, and come back to the old ones after it."""
    go_back = use_fresh_caches()
    try:
        yield
    finally:
        go_back()
