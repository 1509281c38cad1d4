"""Names the process that holds the write lock of an SQLite file, for the error of those who waited in vain.

The lock belongs to a process as long as that lives, even where it is stopped: breaking it would corrupt the
file as soon as the process goes on. So a person lets the process go on, or ends it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

# SQLite's write lock in WAL mode is a POSIX lock on this byte of the file `-shm` (its os_unix.c and wal.c).
# That file is not opened here, because closing it would drop every lock that this process has on it.
_WRITE_LOCK_BYTE: Final = "120"
_LOCKS: Final = Path("/proc/locks")


def write_lock_holder(database: str) -> str | None:
    """Return a sentence about the process that holds the lock, or None where the kernel does not say."""
    with suppress(OSError, ValueError):
        process_id = _process_id(os.stat(f"{database}-shm").st_ino)
        if process_id is not None:
            return _describe(process_id)
    return None


def _process_id(inode: int) -> int | None:
    for line in _LOCKS.read_text().splitlines():
        # Such as `26: POSIX  ADVISORY  WRITE 7656 fe:00:2812219 120 120`.
        match line.split():
            case [_, "POSIX", _, "WRITE", process_id, file, byte, last]:
                is_ours = file.endswith(f":{inode}") and byte == last == _WRITE_LOCK_BYTE
                if is_ours and int(process_id) > 0:
                    return int(process_id)
    return None


def _describe(process_id: int) -> str:
    folder = Path(f"/proc/{process_id}")
    name = (folder / "comm").read_text(errors="replace").strip()  # the arguments may hold secrets
    state = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    holder, end = f"process {process_id} ({name}) holds the write lock", f"`kill -9 {process_id}` ends it"
    if state in "Tt":
        return f"{holder}, and is stopped: `kill -CONT {process_id}` lets it go on, {end}"
    return f"{holder}: if it hangs, {end}"
