"""Faults: counts of events that should not happen and did no harm. A growing count needs a look."""

from datetime import datetime

from fastapi import APIRouter

from jobyard.http.parts import TheParts
from jobyard.http.schemas import View
from jobyard.jobs.ledger.fault_counters import FaultKind, fault_counts

router = APIRouter(prefix="/v1/faults", tags=["health"])


class FaultView(View):
    """How often a fault has happened since the ledger was created, and when it last did."""

    what: FaultKind
    times: int
    last_at: datetime


@router.get("", operation_id="list_faults")
def list_all(parts: TheParts) -> list[FaultView]:
    """Each fault that has happened: late results, bad messages, unknown tasks, lost workers and so on."""
    return [FaultView.model_validate(counted) for counted in fault_counts(parts.ledger.database)]
