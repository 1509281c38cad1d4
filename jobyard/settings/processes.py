"""Child processes that run the Python of their parent, and end with it."""

import ctypes
import os
import resource
import signal
import sys
import threading
from time import sleep
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
# More than a process of ours needs; some programs take long where the limit is a billion.
MOST_FILE_DESCRIPTORS: Final = 65_536


def end_with_parent() -> None:
    """Kill this process when its parent ends: by the kernel on Linux, elsewhere within a second."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        watcher = threading.Thread(target=_end_without, args=[os.getppid()], name="parent", daemon=True)
        watcher.start()


def _end_without(parent_id: int) -> None:
    while os.getppid() == parent_id:
        sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def raise_descriptor_limit() -> int:
    """Let this process have as many open files and connections as it may; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILE_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_FILE_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft if soft != resource.RLIM_INFINITY else most


def child_environment() -> dict[str, str]:
    """Return the environment of a Python process that is to find the same modules as this one."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
