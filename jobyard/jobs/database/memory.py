"""The ledger in memory: for jobs that run where they are handed in, and are forgotten with their process.

It is SQLite with the schema of every ledger, and needs no file, no migration and no Alembic. The threads of a
process share it; a forked child has a copy.
"""

import sqlite3
from collections.abc import Callable
from functools import cache, partial
from itertools import count
from typing import Final

from sqlalchemy import Engine, QueuePool, create_engine, event

from jobyard.jobs.database.engines import Durability, Engines
from jobyard.jobs.database.schema import metadata
from jobyard.jobs.database.sqlite import begin_immediate, prepare

# How long a statement waits for another thread's.
TIMEOUT_SECONDS: Final = 15.0

_numbers: Final = count()


def memory_engines() -> tuple[Engines, Callable[[], None]]:
    """Return the engines of a new, empty ledger, and what frees its memory."""
    kept, engine = _new_memory()
    _template().backup(kept)

    def free() -> None:
        engine.dispose()
        kept.close()

    return Engines(engine, engine, {Durability.FULL: engine, Durability.UNTIL_POWER_CUT: engine}), free


def _new_memory() -> tuple[sqlite3.Connection, Engine]:
    # The memory lasts as long as one connection to it, and an engine closes its own at a fork.
    connect = partial(
        sqlite3.connect,
        f"file:/jobyard-{next(_numbers)}?vfs=memdb",
        uri=True,
        timeout=TIMEOUT_SECONDS,
        check_same_thread=False,
    )
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    event.listen(engine, "connect", partial(prepare, timeout_seconds=TIMEOUT_SECONDS))
    event.listen(engine, "begin", begin_immediate)
    return connect(), engine


@cache
def _template() -> sqlite3.Connection:
    kept, engine = _new_memory()
    metadata.create_all(engine)
    engine.dispose()
    return kept
