"""Fetches payloads and results that are kept in the file store, for the API's answers."""

from dataclasses import replace

import pydantic_core

from jobyard.jobs.errors import ClaimCheckError
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.job import Job


def load_whole_job(job: Job) -> Job:
    """Return a job with its payload and result as JSON; `{"unavailable": ...}` replaces a missing one."""
    result = None if job.result is None else _fetch_json(job.id, job.result)
    return replace(job, payload=_fetch_json(job.id, job.payload), result=result)


def _fetch_json(job_id: str, text: str) -> str:
    try:
        return get_claim_checks().fetch(job_id, text)
    except ClaimCheckError as error:
        return pydantic_core.to_json({"unavailable": str(error)}).decode()
