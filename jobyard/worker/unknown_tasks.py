"""Messages for tasks that this worker does not know: it is older, or newer, than who accepted the job."""

from typing import Any

import structlog
from celery.signals import task_unknown

from jobyard.broker.message_ids import job_ids_of
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger import get_ledger

log = structlog.get_logger()


@task_unknown.connect
def _leave_it_to_a_worker_that_knows(name: str, message: Any, **_: Any) -> None:
    # Celery has dropped the message; the job is still queued, and will be published again.
    try:
        [argument] = message.payload[0]
    except (TypeError, ValueError, LookupError):
        argument = None
    job_ids = job_ids_of(argument)
    shown = f"{name!r}"[:200]
    words = f"no worker knows the task {shown}: deploy one that does, give the task an alias, or discard it"
    log.warning("task unknown to this worker, left to others", task=shown, jobs=len(job_ids))
    try:
        get_ledger().put_off_unknown(job_ids, words)
    except LedgerUnavailableError as error:
        log.warning("not noted, the keeper will notice", reason=str(error))
