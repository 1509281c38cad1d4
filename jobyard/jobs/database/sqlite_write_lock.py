"""The turns that a process's threads take at writing to SQLite, which has one writer.

SQLite's own way to wait for another is to look again after 1, 2, 5, 10, 15, 20 ... milliseconds, and who has
written begins again meanwhile. Between processes shorter steps are all that can be done
(`jobyard/jobs/database/write_connections.py`); threads can be woken.
"""

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

_turns: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()


def take_turns(engine: Engine) -> None:
    """Let the writers of an engine take turns from now on."""
    _turns[engine] = threading.Lock()


def own_turn(engine: Engine) -> AbstractContextManager[Any]:
    """Return what makes its block the only one that writes; whoever has the turn waits no longer than SQLite.

    The lock itself, and nothing of Python's around it: an attempt that is interrupted, wherever it is, must
    not go away with the turn.
    """
    return _turns.get(engine) or nullcontext()


def _begin_anew() -> None:
    # Whoever had the turn at the fork is not here.
    for engine in _turns:
        _turns[engine] = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
