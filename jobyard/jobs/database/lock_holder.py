"""What is done about the process that holds the write lock of an SQLite file, for those who waited in vain.

The lock belongs to a process as long as that lives, even where it is stopped: breaking it would corrupt the
file as soon as the process goes on. So a server of this installation that is stopped is ended, and any other
process is named to a person, who lets it go on or ends it.
"""

import os
import signal
from pathlib import Path
from time import sleep
from typing import Final, NamedTuple

import structlog

from jobyard.jobs.database.kernel_locks import locks_on
from jobyard.jobs.database.registered_processes import is_registered

log = structlog.get_logger()

# SQLite's write lock in WAL mode is a POSIX lock on this byte of the file `-shm` (its os_unix.c and wal.c).
_WRITE_LOCK_BYTE: Final = "120"
# A process may be stopped for a moment, as by a debugger.
LOOK_AGAIN_SECONDS: Final = 1.0
_STOPPED: Final = ("T", "t")


class _Look(NamedTuple):
    """A process at one moment: its state (proc(5)), when it began, and the time that it has computed."""

    name: str
    state: str
    began: str
    used: tuple[str, str]


def end_or_name_lock_holder(path: str) -> str | None:
    """End the process that holds the write lock if it is a server of this installation and stopped.

    Returns a sentence about it, or None where the kernel does not say which it is. May take a second.
    """
    process_id = _holder(path)
    if process_id is None:
        return None
    try:
        look = _look(process_id)
        if look.state in _STOPPED and is_registered(path, process_id):
            sleep(LOOK_AGAIN_SECONDS)
            if _look(process_id) == look and _end(process_id, path):
                log.error("a stopped process held the write lock, and was ended", pid=process_id)
                return f"process {process_id} ({look.name}) was stopped with the write lock, and was ended"
    except OSError:  # it has ended, or belongs to another user
        return None
    holder = f"process {process_id} ({look.name}) holds the write lock"
    end = f"`kill -9 {process_id}` ends it"
    if look.state in _STOPPED:
        return f"{holder}, and is stopped: `kill -CONT {process_id}` lets it go on, {end}"
    return f"{holder}: if it hangs, {end}"


def _holder(path: str) -> int | None:
    for lock in locks_on(f"{path}-shm"):
        if lock.kind == "WRITE" and lock.first == lock.last == _WRITE_LOCK_BYTE:
            return lock.process_id
    return None


def _look(process_id: int) -> _Look:
    # The name alone, because the arguments may hold secrets.
    text = Path(f"/proc/{process_id}/stat").read_text(errors="replace")
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return _Look(name, fields[0], fields[19], (fields[11], fields[12]))


def _end(process_id: int, path: str) -> bool:
    # By a descriptor: another process may have got the id since, and then it holds no lock of ours.
    process = os.pidfd_open(process_id)
    try:
        if _holder(path) != process_id or not is_registered(path, process_id):
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
        return True
    finally:
        os.close(process)
