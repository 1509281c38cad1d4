"""Jobyard's no-op job, loaded through JOBYARD_TASKS__MODULES as a user's own task would be."""

from bench.runs import note_run
from tasks.base import task
from tasks.payload import Payload


class Note(Payload):
    """The same four fields as the other side's."""

    n: int
    to: str
    subject: str
    text: str


@task("bench.noop")
def noop(note: Note) -> int:
    """Return the job's number."""
    note_run(note.n)
    return note.n
