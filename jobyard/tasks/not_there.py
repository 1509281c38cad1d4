"""What of Celery's tasks is not there, and what to write instead."""

from collections.abc import Mapping
from typing import Final

_INSTEAD: Final[Mapping[str, str]] = {
    "signature": "signatures, and with them chain, group and chord, come with workflows; until then a task "
    "hands in what comes next with delay(...), and task.options(...).delay(...) gives a call its options",
    "chunks": "many calls are handed in together with "
    "task.submit_many([task.payload(...) for ... in ...]), which commits them in one transaction",
    "map": "map and starmap run many calls in one job: hand each in as a job of its own, with "
    "task.submit_many([task.payload(...) for ... in ...])",
    "replace": "replace comes with workflows; until then hand in the other job with delay(...) and return "
    "its id",
    "add_to_chord": "chords come with workflows, and none can be added to while it runs: hand in a job with "
    "delay(...)",
}

# For a name of Celery's canvas that a program would import.
NO_CANVAS: Final = (
    "chain, group, chord and their kin come with workflows, and are not there yet: leave the import out, and "
    "let a task hand in what comes next with delay(...)"
)


def without_workflows(task: str, method: str) -> str:
    """Return the sentence for a method that is not there."""
    return f"task {task!r}: {_INSTEAD['map' if method == 'starmap' else method]}"
