"""Finds the processes that an earlier start has left behind.

Each process holds a lock on a file that has its name and its id. The kernel releases the lock when the
process and those that it has forked have ended, so the id of one that ended long ago is never taken for its.
"""

import fcntl
import os
from pathlib import Path


def open_process_file(folder: Path, name: str) -> int:
    """Return the descriptor, to be inherited by the process; `write_process_id` follows. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
    # Shared, because a process may start before the last one of its name has ended.
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.truncate(descriptor, 0)
    return descriptor


def write_process_id(descriptor: int, process_id: int) -> None:
    """Note the id of the process that has inherited the descriptor, and close it here."""
    os.write(descriptor, str(process_id).encode())
    os.close(descriptor)


def left_over(folder: Path) -> dict[str, int]:
    """Return the processes that still live: their ids by name."""
    ids = {path.name: path.read_text() for path in sorted(folder.glob("*")) if _is_locked(path)}
    # A start that was killed may not have come to write an id.
    return {name: int(process_id) for name, process_id in ids.items() if process_id}


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
