"""Jobyard's own tasks: a heartbeat, and the pruning of jobs that ended long ago."""

from datetime import datetime, timedelta

from pydantic import Field

from jobyard.jobs.clock import utc_now
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.ledger import get_ledger
from jobyard.settings import get_settings
from jobyard.settings.retention import RetentionRule
from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload


class Heartbeat(Payload):
    """An empty payload, because the heartbeat only has to end."""


class Beat(Payload):
    """When a worker ran the heartbeat."""

    at: datetime


@task("upkeep.heartbeat", time_limit=10)
def heartbeat(_: Heartbeat) -> Beat:
    """Show that beat, the broker, a worker and the ledger work together."""
    return Beat(at=utc_now())


class Prune(Payload):
    """Which finished jobs to delete: by JOBYARD_LEDGER__RETENTION, or all that ended `keep` ago."""

    keep: timedelta | None = Field(None, ge=timedelta(minutes=1))


class Pruned(Payload):
    """How many jobs were deleted, and how many of their files that no other job uses."""

    jobs: int
    files: int


@task("upkeep.prune", time_limit=600)
def prune(payload: Prune) -> Pruned:
    """Delete finished jobs with their history, in slices short enough not to block other writers."""
    rules = (RetentionRule(payload.keep),) if payload.keep else get_settings().ledger.retention
    jobs = get_ledger().prune(rules)
    return Pruned(jobs=jobs, files=get_claim_checks().sweep(get_ledger().database))
