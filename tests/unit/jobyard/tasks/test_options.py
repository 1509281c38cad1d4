"""What can be said of a job besides its payload."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from jobyard.jobs.clock import utc_now
from jobyard.tasks.options import JobOptions


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as error:
        JobOptions(**options)
    return str(error.value)


def test_durations_are_seconds_or_iso_8601() -> None:
    assert JobOptions.model_validate({"delay": "90"}).delay == timedelta(seconds=90)
    assert JobOptions.model_validate({"delay": "PT1H"}).delay == timedelta(hours=1)
    assert JobOptions(delay=timedelta(0)).delay == timedelta(0)


@pytest.mark.parametrize("priority", [-1, 10, "high"])
def test_a_priority_is_zero_to_nine(priority: object) -> None:
    assert "priority" in refused(priority=priority)


def test_only_one_of_delay_and_run_at_says_when() -> None:
    assert "give one of them" in refused(delay=1, run_at=utc_now())


def test_nothing_is_put_off_for_more_than_a_year() -> None:
    assert "run_at" in refused(run_at=datetime(9999, 1, 1, tzinfo=UTC))
    assert "delay" in refused(delay=timedelta(days=400))
    assert "expires_in" in refused(expires_in=timedelta(days=400))
    assert "delay" in refused(delay="1e300")


def test_a_time_needs_its_zone_and_may_be_past() -> None:
    assert "timezone" in refused(run_at=datetime(2020, 1, 1))
    assert JobOptions(run_at=datetime(2020, 1, 1, tzinfo=UTC)).run_at is not None


def test_a_job_may_not_expire_before_it_starts() -> None:
    assert "before the job may start" in refused(delay=60, expires_in=30)
    assert refused(expires_in=0)


@pytest.mark.parametrize("key", ["", "a b", "a\n", "ü", "x" * 256])
def test_a_unique_key_is_printable_and_short(key: str) -> None:
    assert "unique_key" in refused(unique_key=key)


@pytest.mark.parametrize("tags", [("",), ("a,b",), ("a\x00",), ("x" * 101,), ("t",) * 21])
def test_tags_are_few_and_short(tags: tuple[str, ...]) -> None:
    assert "tag" in refused(tags=tags)


def test_an_unknown_option_is_refused() -> None:
    assert "prioritee" in refused(prioritee=3)
