"""A gate in front of the ledger's database, which is shut while the process forks.

No connection may cross a fork, and with SQLite not even one that the child never touches: a child forked
while a thread of its parent writes inherits the library's note that another connection of the process holds
the write lock, and gets "database is locked" as long as it lives (https://sqlite.org/howtocorrupt.html, 2.6).
So a fork waits until no thread uses the database, closes every connection, and keeps all threads out until it
is done.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol
from weakref import WeakSet

# The wait for other threads: longer than any transaction should take. After it the fork goes on nevertheless,
# because a worker without children would do nothing at all.
LONGEST_WAIT_SECONDS: Final = 20.0


class Closable(Protocol):
    """An object with connections that may not cross a fork."""

    def close(self) -> None:
        """Close every connection."""


_databases: WeakSet[Closable] = WeakSet()


class _Gate:
    def __init__(self) -> None:
        # The code below locks directly: Condition's own `__enter__` is Python code, and an interruption
        # inside it would leave the lock held.
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.inside = 0
        self.is_shut = False
        self.of_thread = threading.local()


_gate = _Gate()


def close_at_fork(database: Closable) -> None:
    """Close the connections of a database before each fork of this process."""
    _databases.add(database)


@contextmanager
def inside_gate() -> Iterator[None]:
    """Use the database in the block; waits while the process forks."""
    gate = _gate
    depth = getattr(gate.of_thread, "depth", 0)
    with gate.lock:
        # A thread that is inside already goes on, because the fork waits for it.
        gate.changed.wait_for(lambda: depth or not gate.is_shut)
        gate.inside += 1
        gate.of_thread.depth = depth + 1
    try:
        yield
    finally:
        with gate.lock:
            gate.inside -= 1
            gate.of_thread.depth = depth
            gate.changed.notify_all()


def _shut() -> None:
    own_depth = getattr(_gate.of_thread, "depth", 0)
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
    _gate = _Gate()  # the old gate's lock and counts belong to threads that are not in the child


os.register_at_fork(before=_shut, after_in_parent=_open, after_in_child=_open_in_child)
