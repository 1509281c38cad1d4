"""Health: whether this process answers, and whether ledger, broker and workers can do their work."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from jobyard.broker.checks.broker import broker_fault
from jobyard.broker.redis.eviction import eviction_warning
from jobyard.http.errors import RETRY_AFTER_SECONDS
from jobyard.http.parts import Parts, TheParts
from jobyard.jobs.database.schema_version import check_takes_writes
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.jobs.reading.living_workers import list_workers
from jobyard.settings.queues import DEFAULT_QUEUE

router = APIRouter(tags=["health"])


class Readiness(BaseModel):
    """Each part with `ok` or its fault. Only the ledger decides: without it no job can be accepted."""

    ready: bool
    checks: dict[str, str]


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(parts: TheParts, response: Response) -> Readiness:
    """Jobs can be accepted (200) or not (503); a silent broker only delays them."""
    ledger = _ledger(parts)
    checks = {"ledger": ledger, "broker": _broker(parts)}
    if ledger == "ok":
        checks["workers"] = _workers(parts)
    else:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
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
    known = list_workers(parts.ledger.database, parts.settings.worker.lease)
    served = {queue for worker in known if worker.is_live for queue in worker.queues.split(",")}
    unserved = [queue for queue in known_queues(parts.ledger.database) if queue not in served]
    return f"no living worker serves {', '.join(unserved)}" if unserved else "ok"
