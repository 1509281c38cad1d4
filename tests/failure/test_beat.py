"""Beat under faults: two of them, one killed, its memory gone (rows 11, 25, 27 of the matrix)."""

import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from redbeat.schedulers import REDBEAT_REDIS_KEY, RedBeatSchedulerEntry
from redis import Redis

from jobyard.jobs.clock import utc_now
from jobyard.jobs.crash_points import EXIT_CODE, CrashPoint
from tests.support import ticking
from tests.support.own_yard import OwnYard
from tests.support.ticking import is_leading, start_beat, ticks

KEY = f"jobyard:beat:{ticking.HEARTBEAT}"
DUE_TIMES = "jobyard:beat::schedule"


def is_installed(own: OwnYard) -> bool:
    return bool(own.redis.hexists(KEY, "definition") and own.redis.zscore(DUE_TIMES, KEY) is not None)


def make_due(own: OwnYard) -> None:
    ticking.make_due(own.valkey_url)


def heartbeat(own: OwnYard) -> RedBeatSchedulerEntry:
    """Return RedBeat's entry, over a connection of ours: its own URL is for display."""
    setattr(own.app, REDBEAT_REDIS_KEY, Redis.from_url(own.valkey_url, decode_responses=True))
    return RedBeatSchedulerEntry.from_key(KEY, app=own.app)


def has_ticked(own: OwnYard, times: int = 1) -> bool:
    """Tell whether so many ticks are jobs, and RedBeat has noted the last: it is not due any more."""
    noted = heartbeat(own).last_run_at
    return len(ticks(own)) == times and utc_now() - noted < timedelta(seconds=30)


def test_a_due_schedule_is_one_accepted_job(own: OwnYard) -> None:
    beat = start_beat(own)
    own.wait_until(lambda: own.redis.exists(KEY) and is_leading(beat), 30, "beat to lead")
    make_due(own)
    own.wait_until(lambda: ticks(own), 20, "a tick")
    assert len(ticks(own)) == 1


def test_celerys_own_command_finds_what_the_application_names(own: OwnYard) -> None:
    celery = Path(sys.executable).with_name("celery")
    command = ("env", "-u", "PYTHONPATH", str(celery), "-q", "-A", "tasks.app", "beat")
    beat = own.start_command("beat", *command)
    own.wait_until(lambda: own.redis.exists(KEY) and is_leading(beat), 30, "beat to lead")


def test_a_beat_that_is_started_before_its_redis_waits_for_it_and_can_be_stopped(own: OwnYard) -> None:
    own.broker.kill()
    beat, another = start_beat(own), start_beat(own)
    own.wait_until(lambda: "not installed yet" in beat.output(), 20, "the first to miss Redis")
    own.wait_until(lambda: "not installed yet" in another.output(), 20, "the other to miss Redis")
    assert another.stop() == 0, another.output()
    own.broker.start()
    own.wait_until(lambda: own.redis.exists(KEY), 20, "the schedules")
    make_due(own)
    own.wait_until(lambda: ticks(own), 20, "a tick")


@pytest.mark.timeout(120)
def test_rows_25_and_27_a_second_beat_waits_and_takes_over(own: OwnYard) -> None:
    first = start_beat(own)
    own.wait_until(lambda: is_leading(first), 30, "the first to lead")
    second = start_beat(own)
    make_due(own)
    own.wait_until(lambda: has_ticked(own), 20, "a tick")
    assert not is_leading(second)
    first.kill()
    own.wait_until(lambda: is_leading(second), 30, "the second to take over")
    make_due(own)
    own.wait_until(lambda: len(ticks(own)) == 2, 20, "its tick")


def test_row_22_a_beat_that_dies_before_it_notes_a_tick_makes_it_once(own: OwnYard) -> None:
    doomed = own.with_crash_at(CrashPoint.TICKED, lambda: start_beat(own))
    own.wait_until(lambda: is_leading(doomed), 30, "beat to lead")
    make_due(own)
    own.wait_until(lambda: doomed.process.poll() == EXIT_CODE, 20, "beat to die")
    own.redis.delete("jobyard:beat::lock")  # or the next one waits for a quarter of a minute
    beat = start_beat(own)
    own.wait_until(lambda: "is_new=False" in beat.output(), 30, "the same tick to come again")
    assert len(ticks(own)) == 1


def test_row_28_a_beat_whose_clock_was_wrong_goes_on(own: OwnYard) -> None:
    beat = start_beat(own)
    own.wait_until(lambda: own.redis.exists(KEY) and is_leading(beat), 30, "beat to lead")
    heartbeat(own).reschedule(utc_now() + timedelta(hours=1))
    own.wait_until(lambda: "in the future" in beat.output(), 20, "beat to notice")
    make_due(own)
    own.wait_until(lambda: ticks(own), 20, "a tick")


@pytest.mark.timeout(120)
def test_row_11_a_beat_whose_redis_forgot_everything_goes_on(own: OwnYard) -> None:
    beat = start_beat(own)
    own.wait_until(lambda: is_leading(beat), 30, "beat to lead")
    make_due(own)
    own.wait_until(lambda: has_ticked(own), 20, "a tick")
    own.broker.forget_everything()
    last = own.job(ticks(own)[0]).created_at

    def goes_on_from_the_last_tick() -> bool:
        if not own.redis.exists(KEY):
            return False
        noted: datetime = heartbeat(own).last_run_at
        return abs(noted - last) < timedelta(seconds=1)

    own.wait_until(goes_on_from_the_last_tick, 30, "the schedules to be back")
    make_due(own)
    own.wait_until(lambda: len(ticks(own)) == 2, 30, "the next tick")


@pytest.mark.timeout(120)
def test_row_11_a_standby_takes_over_where_redis_forgot_everything(own: OwnYard) -> None:
    first = start_beat(own)
    own.wait_until(lambda: is_leading(first), 30, "the first to lead")
    first.kill(signal.SIGSTOP)
    own.redis.delete(KEY)
    standby = start_beat(own)
    own.wait_until(lambda: is_installed(own), 30, "the standby to install the schedules")
    own.broker.forget_everything()
    own.wait_until(lambda: is_leading(standby) and is_installed(own), 30, "it to lead, with its schedules")
    first.kill(signal.SIGCONT)
    make_due(own)
    own.wait_until(lambda: ticks(own), 30, "a tick")
    assert [beat.process.poll() for beat in (first, standby)] == [None, None]


@pytest.mark.timeout(120)
def test_row_11_a_beat_that_was_killed_and_started_again_outlives_a_redis_that_forgets(own: OwnYard) -> None:
    first = start_beat(own)
    own.wait_until(lambda: is_leading(first), 30, "the first to lead")
    first.kill()
    own.redis.delete(KEY)
    second = start_beat(own)
    own.wait_until(lambda: is_installed(own), 30, "the second to install the schedules")
    assert not is_leading(second), "the lock of the first is still there"
    own.broker.forget_everything()
    own.wait_until(lambda: is_leading(second) and is_installed(own), 40, "it to lead, with its schedules")
    make_due(own)
    own.wait_until(lambda: ticks(own), 30, "a tick")
    assert second.process.poll() is None


@pytest.mark.parametrize("lost", ["definition", "due time"])
def test_a_schedule_that_redis_has_lost_in_part_is_installed_again(own: OwnYard, lost: str) -> None:
    beat = start_beat(own)
    own.wait_until(lambda: is_leading(beat) and is_installed(own), 30, "beat to lead")
    if lost == "definition":
        own.redis.hdel(KEY, "definition")
    else:
        own.redis.delete(DUE_TIMES)
    own.wait_until(lambda: is_installed(own), 30, "the schedule to be back")
    make_due(own)
    own.wait_until(lambda: ticks(own), 30, "a tick")


@pytest.mark.timeout(120)
def test_a_beat_outlives_its_redis(own: OwnYard) -> None:
    beat = start_beat(own)
    own.wait_until(lambda: is_leading(beat), 30, "beat to lead")
    own.broker.kill()
    own.wait_until(lambda: "no tick now" in beat.output(), 30, "beat to notice")
    own.broker.start()
    make_due(own)
    own.wait_until(lambda: ticks(own), 30, "a tick")
    assert beat.process.poll() is None
