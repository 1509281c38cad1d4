"""FastAPI before taskiq: an `async def` that awaits `.kiq()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from bench.peers.note import Note
from bench.peers.taskiq_app import broker, noop


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


api = FastAPI(lifespan=lifespan)


@api.post("/jobs", status_code=202)
async def create(note: Note) -> dict[str, str]:
    return {"id": (await noop.kiq(note.model_dump())).task_id}
