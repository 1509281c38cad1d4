"""Which processes are servers of the installation that an SQLite ledger belongs to.

Each holds a lock on a file beside the ledger. The kernel knows whose it is and releases it at the process's
end, so that the id of one that ended long ago is never taken for its.
"""

import fcntl
import os
import sys
from contextlib import suppress
from typing import Final

from sqlalchemy import URL

from jobyard.jobs.database.kernel_locks import locks_on

# A process that was forked inherits the descriptors, and no lock.
_descriptors: Final[dict[str, int]] = {}


def register_process(ledger: URL) -> None:
    """Let others end this process if it is stopped with the write lock; no program of a user's calls this."""
    path = ledger.database
    if ledger.get_backend_name() != "sqlite" or not path or sys.platform != "linux":
        return
    with suppress(OSError):  # no ledger is there, or it cannot be written: others say so
        if path not in _descriptors:
            _descriptors[path] = os.open(_file(path), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(_descriptors[path], fcntl.LOCK_SH)


def is_registered(path: str, process_id: int) -> bool:
    """Tell whether a process is a server of the ledger in that file."""
    return process_id in {lock.process_id for lock in locks_on(_file(path))}


def _file(path: str) -> str:
    return f"{path}-processes"
