"""Tasks as programs for Celery have them, of which only the imports were changed."""

import asyncio
import time
from pathlib import Path
from typing import Any

import celery
from celery.exceptions import Ignore, MaxRetriesExceededError
from celery.utils.log import get_task_logger

from jobyard import Task, current_task, shared_task

logger = get_task_logger(__name__)


class BusyError(Exception):
    """The other side has no time."""


class Patient(Task[..., Any]):
    """The base class of tasks that speak to the other side."""

    abstract = True
    autoretry_for = (BusyError,)
    retry_kwargs = {"max_retries": 4, "countdown": 0.05}  # noqa: RUF012 - as people write it
    address = "https://example.org"


def _who(task: Any) -> dict[str, Any]:
    request = task.request
    logger.info("asked who it is")
    assert celery.current_task
    return {
        "id": request.id,
        "retries": request.retries,
        "args": request.args,
        "parent_id": request.parent_id,
        "root_id": request.root_id,
        "hostname": request.hostname,
        "queue": request.delivery_info["routing_key"],
        "priority": request.delivery_info["priority"],
        "current": current_task.request.id,
        "celerys_current": celery.current_task.request.id,
    }


@shared_task(bind=True)
def who(self, number=0):  # type: ignore[no-untyped-def]
    """Say which job this is."""
    return _who(self)


@shared_task(bind=True)
async def who_async(self, number=0):  # type: ignore[no-untyped-def]
    """Say which job this is, after a while in which others run."""
    await asyncio.sleep(0.01)
    return _who(self)


@shared_task
def hand_in_who():  # type: ignore[no-untyped-def]
    """Hand in another job from within one."""
    return who.delay(1).id


@shared_task(bind=True, max_retries=5)
def call_until(self, needed):  # type: ignore[no-untyped-def]
    """Fail until it was tried so often."""
    try:
        if self.request.retries < needed:
            raise BusyError(f"{self.request.retries} is not enough")
    except BusyError as exc:
        raise self.retry(exc=exc, countdown=0.05)  # noqa: B904 - as people write it
    return self.request.retries


@shared_task(bind=True, base=Patient, address="https://example.com")
def fetch(self, needed):  # type: ignore[no-untyped-def]
    """Fail as often, and leave the retries to the base class."""
    if self.request.retries < needed:
        raise BusyError
    return [self.address, self.request.retries]


@shared_task(bind=True, max_retries=1)
def give_up(self):  # type: ignore[no-untyped-def]
    """Use up the retries, and end otherwise then."""
    try:
        self.retry(countdown=0.05)
    except MaxRetriesExceededError:
        return "gave up"


@shared_task(bind=True)
def count_rows(self, rows, until):  # type: ignore[no-untyped-def]
    """Say how far it is, and go on when a file is there."""
    for row in range(1, rows + 1):
        self.update_state(state="PROGRESS", meta={"current": row, "total": rows})
    while not Path(until).exists():
        time.sleep(0.02)
    return rows


@shared_task
def ignore() -> int:
    """Want no result to be kept."""
    raise Ignore()


@shared_task(bind=True)
def fail_by_hand(self):  # type: ignore[no-untyped-def]
    """Fail as people did before `Ignore` was documented otherwise."""
    self.update_state(state="FAILURE", meta={"exc_type": "BusyError", "exc_message": "no time"})
    raise Ignore()


@shared_task(bind=True, max_retries=None, default_retry_delay=3600)
def for_ever(self):  # type: ignore[no-untyped-def]
    """Try for ever, once an hour."""
    raise self.retry()
