"""Payloads and results that lie in the file store, as the API shows them."""

from dataclasses import replace

import pydantic_core

from jobyard.jobs.errors import ClaimCheckError
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.job import Job


def shown_whole(job: Job) -> Job:
    """Return a job with its payload and result as JSON; what cannot be fetched says so in its place."""
    result = None if job.result is None else _shown(job.id, job.result)
    return replace(job, payload=_shown(job.id, job.payload), result=result)


def _shown(job_id: str, text: str) -> str:
    try:
        return get_claim_checks().fetch(job_id, text)
    except ClaimCheckError as error:
        return pydantic_core.to_json({"unavailable": str(error)}).decode()
