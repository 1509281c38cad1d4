"""For how long the tasks try again while a server, a resolver or the network is away."""

from datetime import timedelta
from typing import Any

import pytest

from jobyard import LedgerUnavailableError, Task
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import ClaimedJob, Failed, new_id
from jobyard.jobs.retry import retry_delay
from jobyard.tasks import context
from jobyard.worker.execution.attempt import attempt
from tasks.collect.task import collect_page
from tasks.images.task import convert_image
from tasks.mail.task import send_email


def mean_patience(task: Task[..., Any]) -> timedelta:
    policy = task.definition.policy
    assert policy.max_retries is not None
    pauses = (
        retry_delay(policy, failures, uniform=lambda low, high: (low + high) / 2)
        for failures in range(1, policy.max_retries + 1)
    )
    return sum(pauses, timedelta(0))


@pytest.mark.parametrize("task", [collect_page, convert_image])
def test_a_page_is_fetched_again_for_half_an_hour(task: Task[..., Any]) -> None:
    assert timedelta(minutes=25) < mean_patience(task) < timedelta(minutes=35)


def test_a_mail_is_sent_again_for_a_day() -> None:
    # The pauses of the tests begin with a second.
    assert timedelta(hours=23) < mean_patience(send_email) <= timedelta(days=1)


def test_a_mail_whose_progress_cannot_be_read_now_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> str:
        raise LedgerUnavailableError("away")

    monkeypatch.setattr(context, "get_progress", unavailable)
    payload = '{"to": ["ada@example.org", "bob@example.org"], "subject": "Hi", "text": "Hello"}'
    second = ClaimedJob(new_id(), "email.send", payload, 2, 1, 5, 0, utc_now())
    outcome = attempt(send_email.definition, second)
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "LedgerUnavailableError"
    assert outcome.retry_in is not None
