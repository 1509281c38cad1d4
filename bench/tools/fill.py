"""What the queues are filled with: the payload of every job, the same on all sides.

Peers import this from environments of their own, so it needs nothing but Python.
"""

import json
from typing import Any


def note(number: int) -> dict[str, Any]:
    """Return the payload of job `number`, about 130 bytes as JSON."""
    return {
        "n": number,
        "to": "ada@example.org",
        "subject": "The engine",
        "text": "It might act upon other things besides number.",
    }


def payload_text(number: int) -> str:
    """Return the payload of job `number` as its model dumps it."""
    return json.dumps(note(number), separators=(",", ":"))
