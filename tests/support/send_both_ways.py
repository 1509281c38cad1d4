"""Sends the same bundles by Celery alone and then by the broker's own sender; run as a module in a yard."""

from jobyard.broker.celery_sender import CelerySender
from jobyard.broker.senders import sender_for
from jobyard.jobs.job import QueuedJob
from jobyard.settings import get_settings
from jobyard.tasks.registry import load_tasks


def job(number: int, task: str, queue: str, priority: int) -> QueuedJob:
    return QueuedJob(f"01890a5d-ac96-774b-bcce-{number:012}", task, queue, priority)


BUNDLES = [
    [job(1, "bad.deed", "default", 4)],
    [job(number, "bad.deed", "default", 4) for number in (2, 3, 4)],
    [job(5, "email.send", "email", 9)],
    [job(6, "no.such", "email", 0)],
    [job(7, "bad.deed", "default", 4)],
]


def main() -> None:
    load_tasks()
    settings = get_settings()
    sender = sender_for(settings)
    assert not isinstance(sender, CelerySender)
    CelerySender(settings).send(BUNDLES)
    sender.send(BUNDLES)


if __name__ == "__main__":
    main()
