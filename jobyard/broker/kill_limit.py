"""When Celery kills the child process of a prefork worker that runs a message.

Jobyard's own limits come first. This one is for a supervisor that hangs as well, in C code that never
releases the GIL.
"""

from math import ceil, log2
from typing import Final

# From the hard limit of a job to the kill, in seconds.
KILL_GRACE_SECONDS: Final = 15


def kill_after(time_limit: float | None) -> int | None:
    """Return the limit in seconds of a message about jobs with this time limit, or None for the task's own.

    It is rounded up to a power of two, because each limit needs a template of its own.
    """
    return None if time_limit is None else int(2 ** ceil(log2(time_limit + KILL_GRACE_SECONDS)))
