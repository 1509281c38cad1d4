"""Parses HTML in a process of its own; `tasks/collect/outline.py` explains why."""

import json
import subprocess
import sys
from pathlib import Path

from tasks.collect.documents import Page
from tasks.collect.limits import Budget
from tasks.collect.outline import CPU_SECONDS

_PROGRAM = Path(__file__).with_name("outline.py")
# In wall-clock time, longer than the CPU limit for a machine that is busy with other work.
_LONGEST_SECONDS = 10 * CPU_SECONDS


class TangledPageError(ValueError):
    """A page that takes more time or memory to parse than any page should."""


def read_page(text: str, url: str) -> Page:
    """Return the content of an HTML page, cut to fit a result; raises `TangledPageError`."""
    command = [sys.executable, "-I", str(_PROGRAM)]
    page = f"{url}\n{text}".encode()
    try:
        done = subprocess.run(command, input=page, capture_output=True, timeout=_LONGEST_SECONDS, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        last_line = (error.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise TangledPageError(
            f"takes more than {CPU_SECONDS} s of CPU time, or more memory than a page should: "
            f"{last_line or 'killed'}"
        ) from error
    found = json.loads(done.stdout)
    budget = Budget()
    title = budget.take(found["title"], max_characters=1000)
    links = tuple(link for link in found["links"] if budget.try_spend(link))
    body = budget.take(found["text"])
    return Page(title=title, text=body, links=links, truncated=budget.is_spent or found["more"])
