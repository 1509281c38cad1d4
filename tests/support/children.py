"""Programs of tests that end with the process that runs the tests, even if that is killed."""

import subprocess
from collections.abc import Sequence
from functools import cache
from typing import Any

from jobyard.local.guard import Guard


def start_child(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own; the options are those of `subprocess.Popen`."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    _guard().add(process)
    return process


@cache
def _guard() -> Guard:
    return Guard(grace_seconds=0)
