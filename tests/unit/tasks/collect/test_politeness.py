"""Turns at a host: booked in the yard's Valkey by all workers together, or by each process without it."""

import asyncio
import gc
import weakref
from datetime import timedelta
from time import monotonic
from uuid import uuid4

import pytest

from jobyard.jobs.errors import RetryLater
from jobyard.worker.execution.event_loop import run_coroutine
from tasks.collect import politeness
from tasks.collect.politeness import wait_for_host
from tests.support.changed_settings import changed_settings
from tests.support.processes import free_port
from tests.support.waiting import wait_until

HOUR = timedelta(hours=1)
SHORT = timedelta(milliseconds=150)
# Redis counts whole milliseconds, and the two clocks that are compared are not read at the same moment.
BLUR = 0.02


@pytest.fixture
def host() -> str:
    """A host that no other test asks."""
    return f"{uuid4().hex}.test"


def took_turn(host: str, job: str, pause: timedelta = HOUR) -> None:
    run_coroutine(wait_for_host(host, job, pause))


def put_off(host: str, job: str, pause: timedelta = HOUR) -> timedelta:
    with pytest.raises(RetryLater, match=f"other jobs ask {host} first") as caught:
        took_turn(host, job, pause)
    assert not caught.value.counts
    assert caught.value.delay is not None
    return caught.value.delay


def about(span: timedelta) -> object:
    return pytest.approx(span.total_seconds(), abs=30)


@pytest.mark.usefixtures("yard")
def test_the_first_job_at_a_host_waits_for_nobody(host: str) -> None:
    took_turn(host, "first")


@pytest.mark.usefixtures("yard")
def test_hosts_do_not_wait_for_each_other(host: str) -> None:
    took_turn(host, "first")
    took_turn(f"{host}:8080", "second")
    took_turn(f"www.{host}", "third")


@pytest.mark.usefixtures("yard")
def test_near_turns_are_waited_for_one_after_the_other(host: str) -> None:
    async def one(job: str) -> float:
        await wait_for_host(host, job, SHORT)
        return monotonic()

    async def several() -> list[float]:
        return await asyncio.gather(*(one(f"job {number}") for number in range(4)))

    began = monotonic()
    times = sorted(run_coroutine(several()))
    for number, time in enumerate(times):
        assert time - began >= number * SHORT.total_seconds() - BLUR


@pytest.mark.usefixtures("yard")
def test_a_job_whose_turn_is_far_away_is_put_off_until_then_and_uses_up_no_attempt(host: str) -> None:
    took_turn(host, "first")
    assert put_off(host, "second").total_seconds() == about(HOUR)
    assert put_off(host, "third").total_seconds() == about(2 * HOUR)


@pytest.mark.usefixtures("yard")
def test_a_job_that_was_put_off_keeps_its_turn(host: str) -> None:
    took_turn(host, "first")
    before = put_off(host, "second")
    assert put_off(host, "third").total_seconds() == about(2 * HOUR)
    assert put_off(host, "second") <= before


@pytest.mark.usefixtures("yard")
def test_a_turn_that_was_kept_is_taken_when_it_comes_and_only_once(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(politeness, "LONGEST_SLEEP", timedelta(milliseconds=200))
    pause = timedelta(seconds=1)
    began = monotonic()
    took_turn(host, "first", pause)
    put_off(host, "second", pause)

    def came() -> bool:
        try:
            took_turn(host, "second", pause)
        except RetryLater:
            return False
        return True

    wait_until(came, 10, "the second job's turn")
    assert monotonic() - began >= pause.total_seconds() - BLUR
    assert put_off(host, "second", pause) <= pause


def test_without_redis_a_process_keeps_its_own_turns(host: str) -> None:
    with changed_settings(VALKEY__PORT=str(free_port())):
        asyncio.run(wait_for_host(host, "first", HOUR))
        with pytest.raises(RetryLater) as caught:
            asyncio.run(wait_for_host(host, "second", HOUR))
        assert caught.value.delay is not None
        assert caught.value.delay.total_seconds() == about(HOUR)
        asyncio.run(wait_for_host(f"www.{host}", "third", HOUR))


def test_a_turn_that_has_passed_is_forgotten(host: str) -> None:
    with changed_settings(VALKEY__PORT=str(free_port())):
        for number in range(3):
            asyncio.run(wait_for_host(f"{number}.{host}", "first", timedelta(0)))
        asyncio.run(wait_for_host(host, "first", HOUR))
        kept = [name for name in politeness._own_next_times if name.endswith(host)]
    assert kept == [host]


@pytest.mark.usefixtures("yard")
def test_an_event_loop_that_has_ended_is_not_kept(host: str) -> None:
    async def one() -> "weakref.ref[asyncio.AbstractEventLoop]":
        await wait_for_host(host, "first", timedelta(0))
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(one())
    gc.collect()
    assert loop() is None
