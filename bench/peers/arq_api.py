"""FastAPI before arq: an `async def` that awaits `enqueue_job()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq import create_pool
from arq.connections import ArqRedis
from fastapi import FastAPI, Request

from bench.peers.arq_app import SETTINGS, dumps
from bench.peers.note import Note


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    api.state.pool = await create_pool(SETTINGS, job_serializer=dumps)
    yield
    await api.state.pool.aclose()


api = FastAPI(lifespan=lifespan)


@api.post("/jobs", status_code=202)
async def create(note: Note, request: Request) -> dict[str, str]:
    pool: ArqRedis = request.app.state.pool
    job = await pool.enqueue_job("noop", note.model_dump())
    return {"id": job.job_id if job else ""}
