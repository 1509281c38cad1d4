"""The FastAPI application: `uvicorn api.app:app`."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse

from jobyard.broker.checks.broker import broker_fault, say_what_is_wrong
from jobyard.broker.publisher import get_publisher
from jobyard.http.accept.committer import Committer
from jobyard.http.accept.fast_lane import FastLane
from jobyard.http.accept.group_commit import Intake
from jobyard.http.accept.protocol import STATE
from jobyard.http.accept.waiting import Waiting
from jobyard.http.deps import Yard, check_caller
from jobyard.http.errors import add_error_handlers
from jobyard.http.openapi import describe_bodies
from jobyard.http.query_options import check_query
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
from jobyard.jobs.ledger.ledger import get_ledger
from jobyard.settings.garbage_collection import spare_the_collector
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.settings import Settings, get_settings
from jobyard.tasks.registry import declare_tasks

VERSION = "0.1.0"
DESCRIPTION = "Hand in work, and find out how it ended. A 202 means that the job is in the ledger, for good."


def create_app(settings: Settings) -> FastAPI:
    """Return the application with an endpoint for every task that is loaded."""
    app = FastAPI(title="Jobyard", version=VERSION, description=DESCRIPTION, lifespan=_lifespan)
    app.state.settings = settings
    app.include_router(health.router)
    guarded = [Depends(check_caller), Depends(check_query)]
    # The paths of `export` would be ids to those of `jobs`.
    routers = (
        *(tasks.router, tasks.task_router(), export.router, jobs.router, dead_letters.router),
        *(files.router, replays.router, queues.router, workers.router, faults.router),
    )
    for router in routers:
        app.include_router(router, dependencies=guarded)
    app.get("/", include_in_schema=False)(_front_page)
    add_error_handlers(app)
    describe_bodies(app, dead_letters.ReplayOrder, dead_letters.DiscardOrder, jobs.Mending, jobs.Discarding)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    ledger = get_ledger()
    check_is_migrated(ledger.engine)
    declare_tasks(ledger.engine)
    committer = Committer(ledger, app.state.settings)
    intake = Intake(committer)
    yard = Yard(app.state.settings, ledger, get_files(), get_publisher(), intake, Waiting(ledger))
    app.state.yard = yard
    spare_the_collector()
    _look_at_the_broker(app.state.settings)
    yield {STATE: FastLane(yard)}
    await intake.close()
    await committer.close()


def _look_at_the_broker(settings: Settings) -> None:
    # Beside: a 202 needs the ledger and nothing else, so nobody waits for what the broker says.
    looking = threading.Thread(
        target=lambda: say_what_is_wrong(broker_fault(settings)), name="broker check", daemon=True
    )
    looking.start()


def _front_page() -> RedirectResponse:
    return RedirectResponse("/docs")


set_up_logging(get_settings().log)
app = create_app(get_settings())
