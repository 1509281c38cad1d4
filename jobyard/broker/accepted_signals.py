"""The signals about accepted jobs: `job_accepted`, and Celery's `after_task_publish`.

Both are sent after the commit, for each new job. Nothing is done where no receiver is connected.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from celery.signals import after_task_publish
from celery.utils.dispatch import Signal

from jobyard.broker.receivers import send
from jobyard.jobs.job import Acceptance, NewJob, Verdict

job_accepted: Final[Any] = Signal(
    name="job_accepted", providing_args=["job_id", "queue", "priority", "payload", "parent"]
)

Arguments = tuple[Sequence[Any], Mapping[str, Any]]


def is_heard() -> bool:
    """Tell whether a receiver is connected to one of the signals."""
    return bool(job_accepted.receivers or after_task_publish.receivers)


def send_accepted(
    new_jobs: Sequence[NewJob],
    acceptances: Sequence[Acceptance],
    arguments_of: Callable[[NewJob], Arguments],
) -> None:
    """Send the signals about those of the jobs that are new; what a receiver raises is logged."""
    for new, acceptance in zip(new_jobs, acceptances, strict=True):
        if acceptance.verdict is Verdict.NEW:
            _send(new, arguments_of)


def _send(new: NewJob, arguments_of: Callable[[NewJob], Arguments]) -> None:
    send(
        job_accepted,
        new.task,
        job_id=new.id,
        queue=new.queue,
        priority=new.priority,
        payload=new.payload,
        parent=new.parent,
    )
    if after_task_publish.receivers:
        args, kwargs = arguments_of(new)
        headers = {"id": new.id, "task": new.task, "root_id": new.id, "parent_id": new.parent, "lang": "py"}
        send(
            after_task_publish,
            new.task,
            body=(list(args), dict(kwargs), {}),
            headers=headers,
            exchange="",
            routing_key=new.queue,
        )
