"""A gate before the ledger's database, which is shut while a process forks.

No connection may cross a fork. With SQLite not even one that the child never touches: a child that is born
while a thread of its parent writes inherits the library's note that "another connection here holds the write
lock", and is told "database is locked" for the rest of its life (https://sqlite.org/howtocorrupt.html, 2.6).
So a fork waits until nobody is at the database, closes every connection, and lets nobody in until it is done.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol
from weakref import WeakSet

# Longer than any transaction should take; then the fork goes on, for without children nothing is done at all.
LONGEST_WAIT_SECONDS: Final = 20.0


class Closable(Protocol):
    """What has connections that may not cross a fork."""

    def close(self) -> None:
        """Close every connection."""


_databases: WeakSet[Closable] = WeakSet()


class _Gate:
    def __init__(self) -> None:
        # Locked directly: Condition's own `__enter__` is Python code, and an interruption inside it would
        # leave the lock held.
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.inside = 0
        self.is_shut = False
        self.own = threading.local()


_gate = _Gate()


def close_at_fork(database: Closable) -> None:
    """Have the connections of a database closed before each fork of this process."""
    _databases.add(database)


@contextmanager
def inside_gate() -> Iterator[None]:
    """Be at the database for the block; waits while the process forks."""
    gate = _gate
    depth = getattr(gate.own, "depth", 0)
    with gate.lock:
        # A thread that is inside already goes on, or the fork would wait for it without end.
        gate.changed.wait_for(lambda: depth or not gate.is_shut)
        gate.inside += 1
        gate.own.depth = depth + 1
    try:
        yield
    finally:
        with gate.lock:
            gate.inside -= 1
            gate.own.depth = depth
            gate.changed.notify_all()


def _shut() -> None:
    own_depth = getattr(_gate.own, "depth", 0)
    with _gate.lock:
        _gate.is_shut = True
        _gate.changed.wait_for(lambda: _gate.inside == own_depth, LONGEST_WAIT_SECONDS)
    for database in _databases:
        database.close()


def _open() -> None:
    with _gate.lock:
        _gate.is_shut = False
        _gate.changed.notify_all()


def _open_in_child() -> None:
    global _gate
    _gate = _Gate()  # the old one's lock and counts belong to threads that are not here


os.register_at_fork(before=_shut, after_in_parent=_open, after_in_child=_open_in_child)
