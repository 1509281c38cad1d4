"""The FastAPI application of this installation, with an endpoint for every task."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import structlog
from fastapi import Depends, FastAPI

from jobyard.broker.checks.broker import broker_fault, log_faults
from jobyard.broker.publisher import get_publisher
from jobyard.broker.receivers import check_receivers
from jobyard.http.access import check_caller
from jobyard.http.commit.async_group_commit import AsyncGroupCommit
from jobyard.http.commit.committer import Committer
from jobyard.http.commit.waiting import JobWaiter
from jobyard.http.connections.descriptors import most_connections
from jobyard.http.connections.sweeper import SWEEPER, ConnectionSweeper
from jobyard.http.errors import add_error_handlers
from jobyard.http.fast_lane.lane import STATE, FastLane
from jobyard.http.head_requests import HeadRequests
from jobyard.http.openapi.document import build_document
from jobyard.http.openapi.routes import add_documentation
from jobyard.http.operation import COMMON, problems
from jobyard.http.parts import Parts
from jobyard.http.query_options import check_query
from jobyard.http.repeated_headers import check_headers
from jobyard.http.routes import (
    dead_letters,
    export,
    faults,
    files,
    health,
    jobs,
    queues,
    replays,
    tasks,
    workers,
)
from jobyard.jobs.database.registered_processes import register_process
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.files.store import get_files
from jobyard.jobs.ledger import get_ledger
from jobyard.settings import Settings, get_settings
from jobyard.settings.garbage_collection import freeze_objects
from jobyard.settings.log_setup import set_up_logging
from jobyard.tasks.registry import declare_all

log = structlog.get_logger()

DESCRIPTION: Final = (
    "Submit jobs, and find out how they ended. A 202 means that the job is durable in the ledger."
)


def create_app() -> FastAPI:
    """Return the application with an endpoint for every task that is loaded."""
    settings = get_settings()
    set_up_logging(settings.log)
    app = FastAPI(
        title="Jobyard",
        version=version("jobyard"),
        description=DESCRIPTION,
        lifespan=_lifespan,
        openapi_url=None,  # `add_documentation` serves the document, and builds it on a thread
    )
    app.state.settings = settings
    app.include_router(health.router)
    app.add_middleware(HeadRequests)
    guarded = [Depends(check_headers), Depends(check_caller), Depends(check_query)]
    # `export` comes before `jobs`, whose routes would read the paths of `export` as job ids.
    routers = (
        *(tasks.router, tasks.task_router(), export.router, jobs.router, dead_letters.router),
        *(files.router, replays.router, queues.router, workers.router, faults.router),
    )
    for router in routers:
        app.include_router(router, dependencies=guarded, responses=problems(*COMMON))
    add_error_handlers(app)
    bodies = (
        *(dead_letters.ReplayOrder, dead_letters.DiscardOrder),
        *(jobs.OptionalReason, jobs.Mending, jobs.Discarding),
    )
    add_documentation(app, partial(build_document, app, bodies, needs_key=bool(settings.api.keys)))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    check_receivers()
    ledger = get_ledger()
    check_is_migrated(ledger.database)
    register_process(ledger.database.url)
    declare_all(ledger.database)
    committer = Committer(ledger, app.state.settings)
    group_commit = AsyncGroupCommit(committer)
    parts = Parts(app.state.settings, ledger, get_files(), get_publisher(), group_commit, JobWaiter(ledger))
    app.state.parts = parts
    freeze_objects()
    _start_broker_check(app.state.settings)
    sweeper = ConnectionSweeper(most_connections(app.state.settings.api.max_connections))
    sweeping = asyncio.create_task(sweeper.run())
    yield {STATE: FastLane(parts), SWEEPER: sweeper}
    sweeping.cancel()
    await group_commit.close()
    await committer.close()


def _start_broker_check(settings: Settings) -> None:
    if get_settings().tasks.eager:
        log.warning("JOBYARD_TASKS__EAGER: this process runs its jobs itself, and forgets them when it ends")
        return
    # On a thread: a 202 needs the ledger and nothing else, so the API does not wait for the broker.
    check = threading.Thread(
        target=lambda: log_faults(broker_fault(settings)), name="broker check", daemon=True
    )
    check.start()
