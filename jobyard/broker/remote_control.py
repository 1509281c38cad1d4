"""Celery's remote control of workers, without the commands that would bypass the ledger."""

from collections.abc import Iterable
from typing import Any, Final

import structlog
from celery.app import control

from jobyard.broker.broadcast import no_broadcast_reason
from jobyard.broker.revoke import Answer, revoke
from jobyard.jobs.actors import PYTHON
from jobyard.jobs.errors import RemoteControlError
from jobyard.jobs.job import Status
from jobyard.jobs.ledger import get_ledger
from jobyard.settings import get_settings

log = structlog.get_logger()

NO_PURGE: Final = (
    "jobs are in the ledger: a message that is purged is published again. GET /v1/jobs?status=queued lists "
    "what waits, and POST /v1/jobs/ID/cancel cancels a job"
)
NO_RATE_LIMIT: Final = (
    "jobs are in the ledger, and a rate limit would count for one worker alone: give the task a queue of its "
    "own (@task(queue=...), or POST /v1/tasks/TASK/jobs?queue=QUEUE) that few workers serve"
)
NO_TIME_LIMIT: Final = (
    "jobs are in the ledger, and their limits are not a worker's to change: declare them with the task, "
    "@task(time_limit=..., soft_time_limit=...)"
)
NO_STAMPS: Final = (
    "jobs are in the ledger and bear no stamps: give them tags; GET /v1/jobs?tag=TAG lists them, and POST "
    "/v1/jobs/ID/cancel cancels one"
)


class Control(control.Control):
    """Celery's remote control, which raises where the broker carries no control commands."""

    def broadcast(self, command: str, *arguments: Any, **options: Any) -> Any:
        """Overridden so that no caller waits for answers that cannot come; raises `RemoteControlError`."""
        if reason := no_broadcast_reason(get_settings().broker_url):
            raise RemoteControlError(reason)
        return super().broadcast(command, *arguments, **options)

    def revoke(  # type: ignore[override]
        self, task_id: str | Iterable[str], destination: Any = None, terminate: bool = False, **options: Any
    ) -> list[dict[str, Any]] | None:
        """Overridden so that waiting jobs are cancelled in the ledger, at once and without a worker.

        Returns the answers where `reply=True` asks for them. Raises `RemoteControlError` where `terminate` is
        to stop a job that runs.
        """
        reason = "revoked, to be terminated" if terminate else "revoked"
        answers = revoke(get_ledger(), task_id, reason=reason, actor=PYTHON)
        for answer in answers:
            if not answer.is_done:
                log.warning("not revoked", job_id=answer.job_id, reason=answer.text)
        if terminate and (running := [answer for answer in answers if answer.status is Status.RUNNING]):
            raise RemoteControlError("; ".join(answer.text for answer in running))
        return [{"ledger": reply_of(answers)}] if options.get("reply") else None

    def revoke_by_stamped_headers(self, *_: Any, **__: Any) -> Any:
        """Overridden because jobs bear no stamps; raises `RemoteControlError`."""
        raise RemoteControlError(NO_STAMPS)

    def purge(self, connection: Any = None) -> int:
        """Overridden because the keeper would publish the jobs again; raises `RemoteControlError`."""
        raise RemoteControlError(NO_PURGE)

    discard_all = purge

    def rate_limit(self, task_name: str, rate_limit: Any, destination: Any = None, **options: Any) -> Any:
        """Overridden so that a caller who waits for no answer is told: raises `RemoteControlError` then."""
        if not options.get("reply"):
            raise RemoteControlError(NO_RATE_LIMIT)
        return super().rate_limit(task_name, rate_limit, destination, **options)

    def time_limit(
        self, task_name: str, soft: Any = None, hard: Any = None, destination: Any = None, **options: Any
    ) -> Any:
        """Overridden so that a caller who waits for no answer is told: raises `RemoteControlError` then."""
        if not options.get("reply"):
            raise RemoteControlError(NO_TIME_LIMIT)
        return super().time_limit(task_name, soft, hard, destination, **options)


def reply_of(answers: Iterable[Answer]) -> dict[str, str]:
    """Return a worker's reply to a control command: what it has done, or why it has not."""
    answers = list(answers)
    kind = "ok" if all(answer.is_done for answer in answers) else "error"
    return {kind: "; ".join(answer.text for answer in answers)}
