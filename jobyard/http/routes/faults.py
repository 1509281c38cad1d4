"""Faults: counts of what should not happen and did no harm. A number that grows is worth a look."""

from datetime import datetime

from fastapi import APIRouter

from jobyard.http.parts import TheParts
from jobyard.http.schemas import View
from jobyard.jobs.ledger.fault_counters import Tally, all_counted

router = APIRouter(prefix="/v1/faults", tags=["health"])


class FaultView(View):
    """How often something has happened since the ledger was made, and when last."""

    what: Tally
    times: int
    last_at: datetime


@router.get("")
def list_all(parts: TheParts) -> list[FaultView]:
    """Late results, bad messages, unknown tasks, threads left behind, lost workers: those that ever were."""
    return [FaultView.model_validate(counted) for counted in all_counted(parts.ledger.database)]
