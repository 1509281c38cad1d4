"""Has foreign content parsed by the program of `outline_main.py`, within its limits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.collect.outline_main import CPU_SECONDS

# How Python and selectolax say that the memory was too little.
_OUT_OF_MEMORY = ("MemoryError", "SelectolaxError: Can't parse HTML")
_PROGRAM = Path(__file__).with_name("outline_main.py")
# In wall-clock time, longer than the CPU limit for a machine that is busy with other work.
_LONGEST_SECONDS = 10 * CPU_SECONDS


class TangledError(ValueError):
    """Content that takes more time or memory to parse than it should, or at which its parser fails."""


def outline(kind: str, text: str, url: str) -> Any:
    """Return what the function `outline` of `{kind}_outline.py` returns; raises `TangledError`."""
    command = [sys.executable, "-I", str(_PROGRAM), kind]
    content = f"{url}\n{text}".encode()
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=_LONGEST_SECONDS, check=True
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        last_line = (error.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
        has_failed = isinstance(error, subprocess.CalledProcessError) and error.returncode > 0
        if has_failed and not any(name in last_line for name in _OUT_OF_MEMORY):
            raise TangledError(f"its parser failed: {last_line}") from error
        raise TangledError(
            f"takes more than {CPU_SECONDS} s of CPU time, or more memory than it should: "
            f"{last_line or 'killed'}"
        ) from error
    return json.loads(done.stdout)
