"""Celery's options of a call: each is kept, or ignored with one warning, or refused with the way out."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import kombu
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import CallRefusedError
from jobyard.settings.queues import Queue
from jobyard.tasks import celery_call as module
from jobyard.tasks import celery_priority
from jobyard.tasks.celery_call import celery_call
from jobyard.tasks.celery_priority import priority_of
from jobyard.tasks.options import JobOptions
from tests.support.changed_settings import changed_settings

NOON = datetime(2030, 1, 31, 12)


def options_of(**options: Any) -> JobOptions:
    return celery_call(options).options


def test_a_call_without_options_has_none() -> None:
    assert celery_call({}) == (JobOptions(), None, None)
    assert options_of(countdown=None, link=None, queue=None, expires=None, exchange=None) == JobOptions()


@pytest.mark.parametrize("countdown", [10, 10.0, timedelta(seconds=10)])
def test_a_countdown_is_a_delay(countdown: object) -> None:
    assert options_of(countdown=countdown).delay == timedelta(seconds=10)


def test_a_countdown_that_is_over_is_none() -> None:
    assert options_of(countdown=-5).delay == timedelta(0)


@pytest.mark.parametrize(
    "written",
    [
        lambda moment: moment.replace(tzinfo=None),
        lambda moment: moment,
        lambda moment: moment.astimezone(timezone(timedelta(hours=5))),
        datetime.isoformat,
    ],
    ids=["naive", "aware", "elsewhere", "text"],
)
def test_an_eta_is_a_moment_and_in_utc_where_it_names_no_zone(written: Any) -> None:
    tomorrow = utc_now() + timedelta(days=1)
    assert options_of(eta=written(tomorrow), countdown=0).run_at == tomorrow


@pytest.mark.parametrize(
    "expires",
    [60, 60.0, timedelta(minutes=1), utc_now() + timedelta(seconds=60), utc_now().replace(tzinfo=None)],
)
def test_an_expiry_is_seconds_or_a_moment(expires: Any) -> None:
    expires_in = options_of(expires=expires).expires_in
    assert expires_in is not None
    assert timedelta(0) < expires_in <= timedelta(seconds=60)


def test_an_expiry_that_is_past_is_a_job_that_expires_at_once() -> None:
    assert options_of(expires=datetime(2020, 1, 1)).expires_in == timedelta(microseconds=1)
    assert options_of(expires=-1).expires_in == timedelta(microseconds=1)


def test_a_job_that_would_expire_before_its_start_is_refused() -> None:
    with pytest.raises(ValidationError, match="ends before the job may start"):
        celery_call({"countdown": 60, "expires": 30})


def test_a_call_has_one_start() -> None:
    with pytest.raises(CallRefusedError, match="countdown and eta both say when to start"):
        celery_call({"countdown": 5, "eta": NOON})


@pytest.mark.parametrize("option", ["countdown", "eta", "expires"])
def test_a_time_that_is_none_is_refused_by_name(option: str) -> None:
    with pytest.raises(TypeError, match=f"{option} must be a"):
        celery_call({option: [1]})
    with pytest.raises((ValueError, TypeError), match=f"{option}"):
        celery_call({option: "soon"})
    with pytest.raises((ValueError, TypeError), match=f"{option}"):
        celery_call({option: float("nan")})


@pytest.mark.parametrize("queue", ["lopri", kombu.Queue("lopri"), Queue("lopri", "slow ones")])
def test_a_queue_is_a_name_or_has_one(queue: Any) -> None:
    assert options_of(queue=queue, routing_key="lopri", exchange="").queue == "lopri"


def test_what_a_call_carries_is_kept() -> None:
    call = celery_call(
        {
            "task_id": "order-7",
            "headers": {"tenant": "a"},
            "time_limit": 20,
            "soft_time_limit": 10,
            "unique_key": "u",
            "idempotency_key": "i",
            "tags": ["a", "b"],
            "max_attempts": 2,
            "connection": (transaction := object()),
        }
    )
    assert call.options == JobOptions(
        external_id="order-7",
        headers='{"tenant":"a"}',
        time_limit=20,
        soft_time_limit=10,
        unique_key="u",
        tags=("a", "b"),
        max_attempts=2,
    )
    assert (call.idempotency_key, call.connection) == ("i", transaction)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"link": object()}, "comes with workflows"),
        ({"link_error": [object()]}, "comes with workflows"),
        ({"chord": object()}, "comes with workflows"),
        ({"exchange": "logs"}, r"goes to one queue.*app\.control\.broadcast"),
        ({"routing_key": "a.b", "queue": "b"}, "which queue= names"),
        ({"reply_to": "me"}, r"AsyncResult\(id\)\.get"),
        ({"serializer": "pickle"}, "a payload is JSON here: annotate the parameter"),
        ({"stamped_headers": ["a"]}, r"headers=\{\.\.\.\}"),
    ],
)
def test_what_cannot_be_kept_names_the_option_and_the_way_out(options: Any, sentence: str) -> None:
    with pytest.raises(CallRefusedError, match=f"{next(iter(options))}.*{sentence}"):
        celery_call(options)


def test_a_misspelt_option_is_refused_with_the_right_one() -> None:
    with pytest.raises(TypeError, match=r"no option 'countdwn' of a call; did you mean 'countdown'\?"):
        celery_call({"countdwn": 5})
    with pytest.raises(TypeError, match="the options are"):
        celery_call({"zzz": 5})


def test_what_means_nothing_here_is_said_once_for_each_process() -> None:
    module._say_ignored.cache_clear()
    ignored = {"retry": False, "retry_policy": {"max_retries": 3}, "serializer": "json", "shadow": "x"}
    broker = kombu.Connection("memory://")
    with capture_logs() as logs:
        for _ in range(3):
            assert celery_call({**ignored, "connection": broker}) == (JobOptions(), None, None)
    assert [entry["option"] for entry in logs] == ["retry", "retry_policy", "shadow", "connection"]
    assert "keeper" in logs[0]["reason"]


@pytest.mark.parametrize(
    ("setting", "given", "priority"),
    [("", 9, 9), ("", 0, 0), ("high_first", 7, 7), ("redis", 0, 9), ("redis", 9, 0), ("redis", 20, 0)],
)
def test_a_priority_means_what_the_setting_says(setting: str, given: int, priority: int) -> None:
    with changed_settings(CELERY__PRIORITY=setting):
        assert options_of(priority=given).priority == priority


def test_code_of_an_app_needs_the_setting_for_an_explicit_priority() -> None:
    with changed_settings(CELERY__PRIORITY=""):
        assert celery_call({}, priority_needs_setting=True).options.priority is None
        with pytest.raises(CallRefusedError, match=r"0 first on Redis.*JOBYARD_CELERY__PRIORITY=high_first"):
            celery_call({"priority": 5}, priority_needs_setting=True)
    with changed_settings(CELERY__PRIORITY="redis"):
        assert celery_call({"priority": 2}, priority_needs_setting=True).options.priority == 7


def test_a_priority_above_nine_is_nine_and_said_once() -> None:
    celery_priority._say_clipped.cache_clear()
    with changed_settings(CELERY__PRIORITY="high_first"), capture_logs() as logs:
        assert (priority_of(255), priority_of(255), priority_of(-1)) == (9, 9, 0)
    assert [entry["given"] for entry in logs] == [255, -1]


@pytest.mark.parametrize("wrong", ["high", 1.5, True])
def test_a_priority_is_a_whole_number(wrong: object) -> None:
    with pytest.raises(TypeError, match="priority must be a whole number"):
        priority_of(wrong)


def test_a_moment_of_the_past_is_now() -> None:
    assert options_of(eta=datetime(2020, 1, 1)).run_at == datetime(2020, 1, 1, tzinfo=UTC)
