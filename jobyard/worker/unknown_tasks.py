"""Puts off jobs of unknown tasks: this worker's code is older or newer than that of the job's sender."""

from logging import getLogger
from typing import Any

import structlog
from celery import signals
from celery.worker.consumer import Consumer

from jobyard.broker.message_ids import job_ids_of
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger import get_ledger
from jobyard.worker.execution.other_version import unknown_task

log = structlog.get_logger()


class UnknownTasksConsumer(Consumer):
    """Celery's consumer, for which a message of an unknown task is about jobs that wait."""

    connection_errors: tuple[type[Exception], ...]
    event_dispatcher: Any

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Overridden so that the jobs stay queued, and `task_unknown` is sent for each of them."""
        name = message.headers["task"]
        job_ids = _job_ids_in(message)
        log.warning("task unknown to this worker, left to others", task=f"{name!r:.200}", jobs=len(job_ids))
        message.reject_log_error(getLogger(__name__), self.connection_errors)
        if self.event_dispatcher:
            shown = f"NotRegistered({name!r})"
            self.event_dispatcher.send("task-failed", uuid=message.headers["id"], exception=shown)
        # The message is dropped; the jobs are still queued and will be published again.
        try:
            get_ledger().put_off_unknown(job_ids, unknown_task(name))
        except LedgerUnavailableError as error:
            log.warning("not noted, the keeper will notice", reason=str(error))
        for job_id in job_ids:
            signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=job_id)


def _job_ids_in(message: Any) -> list[str]:
    try:
        [argument] = message.payload[0]
    except (TypeError, ValueError, LookupError):
        argument = None
    return job_ids_of(argument)
