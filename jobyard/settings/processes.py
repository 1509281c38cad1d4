"""Child processes that run the Python of their parent, and end with it."""

import ctypes
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def child_environment() -> dict[str, str]:
    """Return the environment of a Python process that is to find the same modules as this one."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
