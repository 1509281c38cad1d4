"""Jobyard's jobs that do nothing, loaded through JOBYARD_TASKS__MODULES as a user's own tasks would be."""

import asyncio

from bench.tools.runs import note_run
from bench.work.computation import compute_and_note
from jobyard.settings.queues import LOWEST_PRIORITY
from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload


class Note(Payload):
    """The same four fields as the other sides'."""

    n: int
    to: str
    subject: str
    text: str


@task("bench.noop")
def noop(note: Note) -> int:
    """Return the job's number."""
    note_run(note.n)
    return note.n


@task("bench.later", priority=LOWEST_PRIORITY)
def later(note: Note) -> int:
    """Return the job's number, after all that wait with the usual priority."""
    return note.n


@task("bench.wait")
async def wait(note: Note) -> int:
    """Return the job's number after 20 ms of waiting."""
    note_run(note.n)
    await asyncio.sleep(0.02)
    return note.n


@task("bench.compute")
def compute(note: Note) -> int:
    """Return the job's number after a computation of about 50 ms."""
    compute_and_note(note.n)
    return note.n


TASKS = {"noop": noop, "wait": wait, "compute": compute}
