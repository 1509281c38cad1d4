"""The other side: a plain Celery app with results in Redis, and the endpoint of every tutorial.

Everything that is not said here is Celery's default. Nothing of Jobyard is imported.
"""

import os
from time import sleep
from typing import Any

from celery import Celery
from fastapi import FastAPI

from bench.peers.note import Note
from bench.tools.runs import note_run
from bench.work.computation import compute_and_note

REDIS = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379")

celery = Celery("stock", broker=f"{REDIS}/0", backend=f"{REDIS}/1")
if os.environ.get("BENCH_ACKS_LATE"):
    celery.conf.task_acks_late = True
api = FastAPI()


@celery.task
def noop(note: dict[str, Any]) -> int:
    note_run(note["n"])
    number: int = note["n"]
    return number


@celery.task
def wait(note: dict[str, Any]) -> int:
    note_run(note["n"])
    sleep(0.02)
    number: int = note["n"]
    return number


@celery.task
def compute(note: dict[str, Any]) -> int:
    number: int = note["n"]
    compute_and_note(number)
    return number


TASKS = {"noop": noop, "wait": wait, "compute": compute}


@api.post("/jobs", status_code=202)
async def create(note: Note) -> dict[str, str]:
    return {"id": noop.delay(note.model_dump()).id}
