"""The POSIX locks on a file, and whose they are, as Linux tells them; elsewhere there seem to be none.

The file itself is not opened: closing it would drop every lock that this process has on it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

LOCKS: Final = Path("/proc/locks")


class KernelLock(NamedTuple):
    """A lock on bytes of a file; `kind` is READ or WRITE, and `last` a number or EOF."""

    process_id: int
    kind: str
    first: str
    last: str


def locks_on(file: str) -> list[KernelLock]:
    """Return the locks on a file by processes that this one can see."""
    found: list[KernelLock] = []
    with suppress(OSError, ValueError):
        inode = os.stat(file).st_ino
        for line in LOCKS.read_text().splitlines():
            # Such as `26: POSIX  ADVISORY  WRITE 7656 fe:00:2812219 120 120`.
            match line.split():
                case [_, "POSIX", _, kind, process_id, place, first, last] if place.endswith(f":{inode}"):
                    found.append(KernelLock(int(process_id), kind, first, last))
    return [lock for lock in found if lock.process_id > 0]
