"""The turns that a process's threads take at writing to SQLite, which has one writer.

SQLite's own way to wait for another is to look again after 1, 2, 5, 10, 15, 20 ... milliseconds, and who has
written begins again meanwhile. That is good enough between processes; threads can be woken.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

from jobs.errors import LedgerUnavailableError

_turns: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()
_patience: WeakKeyDictionary[Engine, float] = WeakKeyDictionary()


def take_turns(engine: Engine, patience_seconds: float) -> None:
    """Let the writers of an engine take turns from now on."""
    _turns[engine], _patience[engine] = threading.Lock(), patience_seconds


@contextmanager
def own_turn(engine: Engine) -> Iterator[None]:
    """Be the only writer for the block; raises `LedgerUnavailableError` where another takes too long."""
    turn = _turns.get(engine)
    if turn is None:
        yield
        return
    if not turn.acquire(timeout=_patience[engine]):
        raise LedgerUnavailableError(
            f"another thread has been writing to the ledger for {_patience[engine]:.0f} s "
            "(JOBYARD_LEDGER__BUSY_TIMEOUT)"
        )
    try:
        yield
    finally:
        turn.release()


def _begin_anew() -> None:
    # Whoever had the turn at the fork is not here.
    for engine in _turns:
        _turns[engine] = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
