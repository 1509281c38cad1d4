"""At which level a worker logs how an attempt ended."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from jobyard.jobs.job import Cause, Failed, Failure, HandedBack, Outcome, Succeeded
from jobyard.worker.execution.outcome_log import log_outcomes


def failed(cause: Cause, retry_in: timedelta | None = None) -> Failed:
    return Failed("1", 1, Failure(cause, "Type", "why"), retry_in)


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (Succeeded("1", 1, "null"), "info"),
        (HandedBack("1", 1, "its worker stops"), "warning"),
        (failed(Cause.EXCEPTION, timedelta(seconds=1)), "warning"),
        (failed(Cause.EXCEPTION), "error"),
        (failed(Cause.RETRY_LATER), "error"),
        (failed(Cause.DISCARDED), "warning"),
    ],
)
def test_what_a_task_has_decided_itself_is_no_error(outcome: Outcome, level: str) -> None:
    with capture_logs() as logs:
        log_outcomes([outcome], {"1": "task"})
    assert [entry["log_level"] for entry in logs] == [level]
