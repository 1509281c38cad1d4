"""Puts off jobs of unknown tasks: this worker's code is older or newer than that of the job's sender."""

from typing import Any

import structlog
from celery.signals import task_unknown

from jobyard.broker.message_ids import job_ids_of
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger import get_ledger
from jobyard.worker.execution.other_version import unknown_task

log = structlog.get_logger()


@task_unknown.connect
def _put_off_unknown(name: str, message: Any, **_: Any) -> None:
    # Celery has dropped the message; the job is still queued and will be published again.
    try:
        [argument] = message.payload[0]
    except (TypeError, ValueError, LookupError):
        argument = None
    job_ids = job_ids_of(argument)
    log.warning("task unknown to this worker, left to others", task=f"{name!r:.200}", jobs=len(job_ids))
    try:
        get_ledger().put_off_unknown(job_ids, unknown_task(name))
    except LedgerUnavailableError as error:
        log.warning("not noted, the keeper will notice", reason=str(error))
