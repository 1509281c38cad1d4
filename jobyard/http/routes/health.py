"""Health: whether this process answers, and whether ledger, broker and workers can do their work."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from jobyard.broker.checks.broker import broker_fault
from jobyard.broker.redis.eviction import eviction_warning
from jobyard.http.access import is_trusted
from jobyard.http.errors import RETRY_AFTER_SECONDS
from jobyard.http.operation import headers, problems
from jobyard.http.parts import Parts, TheParts
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema_version import check_takes_writes
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.jobs.reading.job_queries import count_messages, queues_with_messages
from jobyard.jobs.reading.living_workers import list_workers
from jobyard.settings.queues import DEFAULT_QUEUE, Queue, QueueKind

router = APIRouter(tags=["health"])


# Addresses and names in a fault are for callers who could read them elsewhere.
HIDDEN_FAULT: Final = "not ok: a caller with a key is told why"
# The most waiting jobs that are counted in a queue that no worker serves.
MOST_COUNTED: Final = 1000


class Health(BaseModel):
    """This process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Each part with `ok` or its fault. Only the ledger decides: without it no job can be accepted.

    A caller without a key, or from elsewhere where none is set, is not told what the fault is.
    """

    ready: bool
    checks: dict[str, str]


@router.get("/healthz", operation_id="get_health", responses=problems(431))
async def healthz() -> Health:
    """This process answers."""
    return Health()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    responses={
        503: {
            "model": Readiness,
            "description": "No job can be accepted now.",
            "headers": headers("Retry-After"),
        },
        **problems(431),
    },
)
def readyz(parts: TheParts, response: Response, is_told: Annotated[bool, Depends(is_trusted)]) -> Readiness:
    """Jobs can be accepted (200) or not (503); a silent broker only delays them."""
    if parts.ledger.database.is_in_memory:  # then this process runs its jobs itself
        return Readiness(ready=True, checks=dict.fromkeys(("ledger", "broker", "workers"), "ok"))
    ledger = _ledger(parts)
    checks = {"ledger": ledger, "broker": _broker(parts)}
    if ledger == "ok":
        checks["workers"] = _workers(parts)
    else:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if not is_told:
        checks = {part: state if state == "ok" else HIDDEN_FAULT for part, state in checks.items()}
    return Readiness(ready=ledger == "ok", checks=checks)


def _ledger(parts: Parts) -> str:
    try:
        check_takes_writes(parts.ledger.database)
    except LedgerUnavailableError as error:
        return str(error)
    return "ok"


def _broker(parts: Parts) -> str:
    fault = broker_fault(parts.settings)
    if fault is not None and fault.is_wrong:
        return f"{fault.sentence}; jobs are accepted and will run when it is repaired"
    if fault is not None:
        return f"silent: jobs are accepted and will run when it is back ({fault.sentence})"
    if not parts.publisher.depths([DEFAULT_QUEUE.name]):
        return "silent: jobs are accepted and will run when it is back (JOBYARD_BROKER__URL)"
    return eviction_warning(parts.settings) or "ok"


def _workers(parts: Parts) -> str:
    database = parts.ledger.database
    living = [worker for worker in list_workers(database, parts.settings.worker.lease) if worker.is_live]
    served = {queue for worker in living for queue in worker.queues.split(",")}
    known = known_queues(database)
    # A job that was inserted with SQL may wait in a queue that no process has declared.
    waiting = [queue for queue in queues_with_messages(database) if queue not in served]
    unserved = sorted({*known, *waiting} - served)
    if not unserved:
        return "ok"
    fault = f"no living worker serves {', '.join(unserved)}"
    if not waiting:
        return fault
    counts = ", ".join(f"{queue} ({_count(database, queue)})" for queue in waiting)
    by_kind: dict[QueueKind, list[str]] = {}
    for queue in waiting:
        by_kind.setdefault(known.get(queue, Queue(queue)).kind, []).append(queue)
    commands = (f"`jobyard worker --kind {kind} -Q {','.join(queues)}`" for kind, queues in by_kind.items())
    return f"{fault}; jobs wait in {counts}: start {' and '.join(commands)}"


def _count(database: LedgerDatabase, queue: str) -> str:
    count = count_messages(database, queue, at_most=MOST_COUNTED)
    return f"{count} or more" if count == MOST_COUNTED else str(count)
