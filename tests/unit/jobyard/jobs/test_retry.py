"""When a failed attempt is tried again."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobyard.jobs.retry import LONGEST_DELAY, RetryPolicy, retry_delay

policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 1000),
    retry_backoff=st.one_of(st.booleans(), st.integers(0, 100_000)),
    retry_backoff_max=st.integers(1, 100_000),
    retry_jitter=st.booleans(),
    default_retry_delay=st.integers(0, 100_000),
)


@given(policies, st.integers(1, 10_000))
def test_a_delay_is_never_negative_and_never_above_its_cap(policy: RetryPolicy, failures: int) -> None:
    cap = policy.retry_backoff_max if policy.retry_backoff else policy.default_retry_delay
    assert timedelta(0) <= retry_delay(policy, failures) <= timedelta(seconds=cap)


def _longest(_: float, full: float) -> float:
    return full


def test_without_jitter_the_delay_doubles_up_to_the_cap() -> None:
    policy = RetryPolicy(retry_backoff=3, retry_backoff_max=20, retry_jitter=False)
    delays = [retry_delay(policy, failures).total_seconds() for failures in (1, 2, 3, 4, 5)]
    assert delays == [3, 6, 12, 20, 20]


def test_jitter_draws_from_zero_to_the_full_delay() -> None:
    policy = RetryPolicy(retry_backoff=2, retry_backoff_max=600)
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    assert retry_delay(policy, 4, uniform=uniform) == timedelta(seconds=16)
    assert drawn == [(0, 16)]


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    policy = RetryPolicy(retry_backoff=60)
    assert len({retry_delay(policy, 1) for _ in range(100)}) > 90


def test_without_backoff_every_delay_is_the_default() -> None:
    policy = RetryPolicy(default_retry_delay=7)
    assert {retry_delay(policy, failures) for failures in (1, 2, 50)} == {timedelta(seconds=7)}


@given(st.timedeltas(min_value=timedelta(days=-10), max_value=timedelta(days=10)))
def test_a_delay_that_the_task_asked_for_wins_but_is_never_negative(requested: timedelta) -> None:
    policy = RetryPolicy(retry_backoff=1, retry_backoff_max=1)
    assert retry_delay(policy, 1, requested=requested) == max(requested, timedelta(0))


def test_a_thousand_failures_do_not_overflow() -> None:
    policy = RetryPolicy(retry_backoff=1, retry_backoff_max=10**6)
    assert retry_delay(policy, 1000, uniform=_longest) == timedelta(seconds=10**6)


def test_nothing_is_put_off_for_longer_than_a_date_can_tell() -> None:
    endless = RetryPolicy(retry_backoff=10**30, retry_backoff_max=10**30, default_retry_delay=10**30)
    assert retry_delay(endless, 1000, uniform=_longest) == LONGEST_DELAY
    assert retry_delay(replace(endless, retry_backoff=False), 1) == LONGEST_DELAY
    assert retry_delay(endless, 1, requested=timedelta.max) == LONGEST_DELAY
