"""How often a mail is tried again, for how long, and what the task makes of it."""

from datetime import timedelta
from itertools import pairwise

import pytest

from config.settings import SmtpSettings
from jobyard.jobs.retry import RetryPolicy, retry_delay
from tasks.mail.retry_schedule import retry_schedule


def pauses(first: timedelta, total: timedelta) -> list[timedelta]:
    schedule = retry_schedule(first, total)
    policy = RetryPolicy(
        retry_backoff=schedule.first_seconds,
        retry_backoff_max=schedule.longest_seconds,
        retry_jitter=False,
    )
    return [retry_delay(policy, failures + 1) for failures in range(schedule.retries)]


def test_a_mail_is_tried_again_after_minutes_and_then_each_hour_for_a_day() -> None:
    usual = pauses(SmtpSettings().retry_after, SmtpSettings().retry_for)
    assert usual[:8] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 16, 32, 60, 60)]
    assert timedelta(hours=23) < sum(usual, timedelta(0)) <= timedelta(days=1)


@pytest.mark.parametrize("total", [timedelta(seconds=1), timedelta(minutes=1), timedelta(days=366)])
@pytest.mark.parametrize("first", [timedelta(milliseconds=1), timedelta(seconds=90), timedelta(hours=5)])
def test_pauses_fill_the_time_whatever_is_set_and_there_is_always_one(
    first: timedelta, total: timedelta
) -> None:
    found = pauses(first, total)
    assert found[0] >= first
    assert all(before <= after <= 2 * before for before, after in pairwise(found))
    spent = sum(found, timedelta(0))
    assert len(found) == 1 or spent <= total
    assert spent + max(found[-1] * 2, timedelta(hours=1)) > total
