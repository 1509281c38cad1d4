"""Numbered points between two durable steps, at which a test can end a process as if it were killed.

`CRASH_AT=7` in a process's environment ends it the first time it gets to point 7, `CRASH_AT=7:3` the third
time. Without `CRASH_AT` a point costs one comparison.
"""

import os
from enum import IntEnum
from typing import Final

EXIT_CODE: Final = 137  # as after SIGKILL


class CrashPoint(IntEnum):
    """The points, in the order of a job's life."""

    BEFORE_ACCEPT = 1  # a job was submitted, and nothing about it is written
    SENT_EARLY = 2  # a message is sent, and nothing about its job is written
    ACCEPTED = 3  # the job is committed, and neither published nor answered for
    BEFORE_PUBLISH = 4  # the publisher has the job, and has not sent its message
    PUBLISHED = 5  # the message is sent, and that is not noted in the ledger
    FETCHED = 6  # a worker has the message, and has not claimed the job
    CLAIMED = 7  # the job is claimed, and its task is not called
    RAN = 8  # the task has returned, and the outcome is not written
    SETTLED = 9  # the outcome is written, and the message is not acknowledged
    TAKEN_UP = 10  # the keeper moved jobs (due, unsent, lost, replayed), and has not published them
    REPLAYED = 11  # a person's replay is committed, and not published
    TICKED = 12  # the job of a tick is accepted, and the scheduler has not noted that


def _read_environment() -> tuple[int, int]:
    point, _, times = os.environ.get("CRASH_AT", "0").partition(":")
    return int(point), int(times or 1)


_point, _times_left = _read_environment()


def crash_here_if_asked(point: CrashPoint) -> None:
    """End the process at once, without any cleanup, if `CRASH_AT` names this point."""
    global _times_left
    if point != _point:
        return
    _times_left -= 1
    if _times_left == 0:
        os._exit(EXIT_CODE)
