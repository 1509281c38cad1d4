"""Every place between two durable steps, numbered, where a test can make a process end as if it were killed.

`CRASH_AT=7` in a process's environment ends it at point 7, the first time it gets there; `CRASH_AT=7:3` the
third time. Without it a point costs a comparison.
"""

import os
from enum import IntEnum
from typing import Final

EXIT_CODE: Final = 137  # as after SIGKILL


class CrashPoint(IntEnum):
    """The places, in the order of a job's life."""

    BEFORE_ACCEPT = 1  # a job was handed in, and nothing of it is written
    SENT_EARLY = 2  # a message is sent, and nothing of its job is written
    ACCEPTED = 3  # committed, and not published or answered
    BEFORE_PUBLISH = 4  # taken by the publisher, and not sent
    PUBLISHED = 5  # sent, and not noted as sent
    FETCHED = 6  # a worker has the message, and has not claimed
    CLAIMED = 7  # claimed, and not begun
    RAN = 8  # the task returned, and the outcome is not written
    SETTLED = 9  # the outcome is written, and the message not acknowledged
    TAKEN_UP = 10  # the keeper moved jobs (due, unsent, lost, replayed), and has not published them
    REPLAYED = 11  # a person's replay is committed, and not published
    TICKED = 12  # a tick is an accepted job, and the scheduler has not noted it


def _wanted() -> tuple[int, int]:
    point, _, times = os.environ.get("CRASH_AT", "0").partition(":")
    return int(point), int(times or 1)


_point, _times_left = _wanted()


def reach(point: CrashPoint) -> None:
    """End the process here, without any goodbye, where its environment says so."""
    global _times_left
    if point != _point:
        return
    _times_left -= 1
    if _times_left == 0:
        os._exit(EXIT_CODE)
