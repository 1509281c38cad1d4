"""What a yard holds in memory and on disk: its processes, its broker and its ledger."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil
from sqlalchemy import Connection, text

from bench.sides.whole_jobyard import TAKES, TAKES_NOTHING, WholeJobyard

MIB = 2**20
OWN_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
SHARED_BUFFERS = "SELECT pg_size_bytes(current_setting('shared_buffers'))"


@dataclass(frozen=True)
class Part:
    """One part of a yard, in MiB; None where it has none of its own, or it cannot be seen from here."""

    name: str
    memory: float | None
    disk: float | None


def footprint(side: WholeJobyard) -> list[Part]:
    """Look at every part once, as it is now."""
    return list(_parts(side))


def _parts(side: WholeJobyard) -> Iterator[Part]:
    for name, process in {"API": "api", "worker, threads": TAKES, "worker, prefork": TAKES_NOTHING}.items():
        yield Part(name, side.machine.resident_bytes(process) / MIB, None)
    valkey = side.machine.resident_bytes("valkey") / MIB
    yield Part("Valkey", valkey, _size(side.machine.folder / "valkey") / MIB)
    with side.ledger() as ledger, ledger.database.engine.connect() as connection:
        if ledger.database.engine.dialect.name == "postgresql":
            size = _ask(connection, "SELECT pg_database_size(current_database())")
            yield Part("PostgreSQL", _server_memory(connection), size / MIB)
        else:
            files = side.machine.folder.glob("jobyard.db*")
            yield Part("SQLite's file", None, sum(file.stat().st_size for file in files) / MIB)


def _server_memory(connection: Connection) -> float | None:
    # All its processes share one cache, so that is counted once, and of each that serves this ledger its own.
    pids = connection.execute(text(OWN_BACKENDS)).scalars()
    try:
        found = [psutil.Process(pid).memory_info() for pid in pids]
    except psutil.Error:
        return None  # on another machine
    own = sum(one.rss - one.shared for one in found)
    return float(own + _ask(connection, SHARED_BUFFERS)) / MIB


def _ask(connection: Connection, query: str) -> int:
    return cast(int, connection.execute(text(query)).scalar_one())


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # an append-only file that was rewritten meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total
