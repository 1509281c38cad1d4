"""The FastAPI application of this installation, with an endpoint for every task."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from jobyard.broker.checks.broker import broker_fault, log_faults
from jobyard.broker.publisher import get_publisher
from jobyard.http.access import check_caller, check_reader
from jobyard.http.commit.async_group_commit import AsyncGroupCommit
from jobyard.http.commit.committer import Committer
from jobyard.http.commit.waiting import JobWaiter
from jobyard.http.connections.descriptors import most_connections
from jobyard.http.connections.sweeper import SWEEPER, ConnectionSweeper
from jobyard.http.errors import add_error_handlers
from jobyard.http.fast_lane.lane import STATE, FastLane
from jobyard.http.head_requests import HeadRequests
from jobyard.http.openapi import describe_bodies
from jobyard.http.parts import Parts, get_parts
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
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.files.store import get_files
from jobyard.jobs.ledger import get_ledger
from jobyard.settings import Settings, get_settings
from jobyard.settings.garbage_collection import freeze_objects
from jobyard.settings.log_setup import set_up_logging
from jobyard.tasks.registry import declare_all

DESCRIPTION: Final = (
    "Submit jobs, and find out how they ended. A 202 means that the job is durable in the ledger."
)


def create_app() -> FastAPI:
    """Return the application with an endpoint for every task that is loaded."""
    settings = get_settings()
    set_up_logging(settings.log)
    app = FastAPI(title="Jobyard", version=version("jobyard"), description=DESCRIPTION, lifespan=_lifespan)
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
        app.include_router(router, dependencies=guarded)
    app.get("/", include_in_schema=False)(_front_page)
    _guard_documentation(app)
    add_error_handlers(app)
    describe_bodies(app, dead_letters.ReplayOrder, dead_letters.DiscardOrder, jobs.Mending, jobs.Discarding)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    ledger = get_ledger()
    check_is_migrated(ledger.database)
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
    # On a thread: a 202 needs the ledger and nothing else, so the API does not wait for the broker.
    check = threading.Thread(
        target=lambda: log_faults(broker_fault(settings)), name="broker check", daemon=True
    )
    check.start()


def _guard_documentation(app: FastAPI) -> None:
    # FastAPI's own routes for its documentation take no dependencies.
    pages = {app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url}
    for route in app.routes:
        if isinstance(route, Route) and route.path in pages:
            route.app = _Guarded(route.app)


class _Guarded:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await check_reader(request, await get_parts(request))
        await self._app(scope, receive, send)


def _front_page() -> RedirectResponse:
    return RedirectResponse("/docs")
