"""What can be said of a job besides its payload."""

import json
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import ValidationError

from jobyard.jobs.clock import utc_now
from jobyard.tasks.options import JobOptions
from jobyard.tasks.submission import _request_hash


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


@pytest.mark.parametrize("wrong", ["", "a\nb", "x" * 256, "\ud800", "\x85"])
def test_an_external_id_is_printable_and_short(wrong: str) -> None:
    assert "external_id" in refused(external_id=wrong)


def test_an_external_id_may_be_any_words() -> None:
    for given in ("a b", "ü/7", "01890a5d-ac96-774b-bcce-b302099a8057", "x" * 255):
        assert JobOptions(external_id=given).external_id == given


def test_headers_are_a_mapping_or_its_json_and_held_as_json() -> None:
    headers = {"a": "ü", "b": 1, "c": 0.5, "d": True}
    for given in (headers, json.dumps(headers), MappingProxyType(headers)):
        text = JobOptions.model_validate({"headers": given}).headers
        assert json.loads(text or "") == headers
    assert JobOptions(headers={}).headers == "{}"
    assert JobOptions(headers=None).headers is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([1], "an object"),
        ("[1]", "an object"),
        ("{", "must be a JSON object"),
        ({1: "a"}, "names are strings"),
        ({"a": None}, "'a'.*not NoneType"),
        ({"a": {"b": 1}}, "put anything larger into the payload"),
        ({"a": float("nan")}, "JSON"),
        ({"a": "\ud800"}, "JSON"),
        ({"a": 10**5000}, "JSON|bytes"),
        ({"a": "x" * 4096}, "4104 bytes as JSON, more than 4096"),
        ("x" * 5000, "5000 bytes"),
    ],
)
def test_headers_are_flat_plain_and_few(wrong: object, why: str) -> None:
    assert re.search(why, refused(headers=wrong))


def test_limits_of_a_call_are_durations_and_the_soft_one_comes_first() -> None:
    options = JobOptions.model_validate({"time_limit": "PT1M", "soft_time_limit": 50})
    assert (options.time_limit, options.soft_time_limit) == (timedelta(minutes=1), timedelta(seconds=50))
    assert "must be shorter than time_limit" in refused(time_limit=5, soft_time_limit=5)
    assert "time_limit" in refused(time_limit=0)
    assert "366 days" in refused(soft_time_limit=timedelta(days=400))


def test_what_an_idempotency_key_stands_for_is_as_it_was_where_a_call_carries_nothing() -> None:
    # The hash that the version before options of calls gave: its keys must go on fitting.
    options: dict[str, object] = {
        "queue": None,
        "priority": 9,
        "delay": None,
        "run_at": None,
        "expires_in": None,
        "max_attempts": None,
        "unique_key": None,
        "tags": [],
    }
    before = sha256("\n".join(("a", "{}", json.dumps(options, separators=(",", ":")))).encode()).hexdigest()
    assert _request_hash("a", "{}", JobOptions(priority=9)) == before
    assert _request_hash("a", "{}", JobOptions(priority=9, headers={"a": 1})) != before
