"""How many connections a server can have beside what else it keeps open."""

import resource
from typing import Final

import structlog

log = structlog.get_logger()

# For the ledger's connections, files that are being stored, the broker's, logs and pipes.
OTHER_DESCRIPTORS: Final = 256


def most_connections(setting: int) -> int:
    """Return the setting, or less and a warning where the system allows this process too few descriptors."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= setting + OTHER_DESCRIPTORS:
        return setting
    most = max(allowed - OTHER_DESCRIPTORS, allowed // 2)
    log.warning(
        "fewer connections than JOBYARD_API__MAX_CONNECTIONS: raise the limit of open files (ulimit -n)",
        open_files=allowed,
        max_connections=most,
    )
    return most
