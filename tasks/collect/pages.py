"""Reads HTML, in a process of its own: see `tasks/collect/outline.py` for why."""

import json
import subprocess
import sys
from pathlib import Path

from tasks.collect.documents import Page
from tasks.collect.limits import Budget
from tasks.collect.outline import CPU_SECONDS

_PROGRAM = Path(__file__).with_name("outline.py")
# Counted by the clock on the wall, for a machine that is busy with other things.
_LONGEST_SECONDS = 10 * CPU_SECONDS


class TangledPageError(ValueError):
    """A page that takes more time or memory to be read than any page should."""


def read_page(text: str, url: str) -> Page:
    """Return what an HTML page says, as much of it as fits a result; raises `TangledPageError`."""
    command = [sys.executable, "-I", str(_PROGRAM)]
    page = f"{url}\n{text}".encode()
    try:
        done = subprocess.run(command, input=page, capture_output=True, timeout=_LONGEST_SECONDS, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        last_words = (error.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise TangledPageError(
            f"takes more than {CPU_SECONDS} s of computing, or more memory than a page should: "
            f"{last_words or 'ended by force'}"
        ) from error
    found = json.loads(done.stdout)
    budget = Budget()
    title = budget.take(found["title"], most=1000)
    links = tuple(link for link in found["links"] if budget.has_room(link))
    body = budget.take(found["text"])
    return Page(title=title, text=body, links=links, truncated=budget.is_spent or found["more"])
