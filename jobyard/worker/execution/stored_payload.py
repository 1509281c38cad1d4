"""Reads the payload of a job's row: where it was stored apart, and from a stock message, too."""

from typing import Any

from jobyard.broker.bridge.message_payload import is_message
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.stock_arguments import bind_stock_message


def read_payload(task: AnyDefinition, job_id: str, stored: str) -> Any:
    """Return a job's payload; it may wait for the file store.

    Raises `ClaimCheckError` where the file cannot be read, `ForeignMessageError` where a message does not fit
    the task, and pydantic's `ValidationError`.
    """
    text = get_claim_checks().fetch(job_id, stored)
    return bind_stock_message(task, text) if is_message(text) else task.decode(text)
