"""What a `priority=` in code that was written for Celery means: `JOBYARD_CELERY__PRIORITY` says it.

Here 9 is first. In Celery that depends on the broker: RabbitMQ serves 9 first, and Redis 0.
"""

from functools import cache
from typing import Any

import structlog

from jobyard.jobs.errors import CallRefusedError
from jobyard.settings import get_settings
from jobyard.settings.queues import HIGHEST_PRIORITY, LOWEST_PRIORITY

log = structlog.get_logger()


def priority_of(given: Any, *, needs_setting: bool = False) -> int:
    """Return the priority, 0 to 9 and 9 first, that a `priority=` of Celery code asks for.

    Without the setting 9 is first; where code `needs_setting`, because it was written for a broker that may
    serve 0 first, this raises `CallRefusedError`. What is above 9 is 9, and that is logged once.
    """
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"priority must be a whole number from 0 to 9, not {given!r:.100}")
    meaning = get_settings().celery.priority
    if meaning is None and needs_setting:
        raise CallRefusedError(
            f"priority={given}: Celery serves 9 first on RabbitMQ and 0 first on Redis, so say which is "
            "meant: JOBYARD_CELERY__PRIORITY=high_first, or JOBYARD_CELERY__PRIORITY=redis"
        )
    priority = max(LOWEST_PRIORITY, min(given, HIGHEST_PRIORITY))
    if priority != given:
        _say_clipped(given, priority)
    return HIGHEST_PRIORITY - priority if meaning == "redis" else priority


@cache
def _say_clipped(given: int, priority: int) -> None:
    log.warning("priorities go from 0 to 9", given=given, taken_as=priority)
