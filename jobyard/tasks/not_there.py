"""What of Celery's tasks is not there, and what to write instead."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from jobyard.jobs.errors import CallRefusedError

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
    return f"task {task!r}: {_INSTEAD[method]}"


class WithoutWorkflows:
    """The methods of Celery's tasks that make workflows; each raises `CallRefusedError`."""

    name: Any

    def signature_from_request(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `CallRefusedError`."""
        self._refuse("signature")

    subtask_from_request = signature_from_request

    def chunks(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `CallRefusedError`."""
        self._refuse("chunks")

    def map(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `CallRefusedError`."""
        self._refuse("map")

    starmap = map

    def replace(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `CallRefusedError`."""
        self._refuse("replace")

    def add_to_chord(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `CallRefusedError`."""
        self._refuse("add_to_chord")

    def _refuse(self, method: str) -> NoReturn:
        raise CallRefusedError(without_workflows(self.name, method))
