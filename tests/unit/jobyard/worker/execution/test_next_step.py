"""What a supervisor does next about an attempt, over all that can come together."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobyard.worker.execution.interruptions import STOP_GRACE_SECONDS, AttemptStopped, SoftLimitReached
from jobyard.worker.execution.next_step import (
    GiveUp,
    Interrupt,
    Limits,
    SentInterruption,
    Step,
    Wait,
    Withdraw,
    next_step,
)

times = st.integers(0, 100).map(float)
seconds = st.one_of(st.just(math.inf), st.integers(1, 60).map(float))
limits = st.builds(Limits, seconds, seconds)
sent = st.one_of(
    st.none(),
    st.builds(SentInterruption, st.builds(AttemptStopped, st.just("the worker stops")), times),
    st.builds(SentInterruption, st.builds(SoftLimitReached, st.just(1.0)), times),
)
situations = st.fixed_dictionaries(
    {
        "now": times,
        "began": st.one_of(st.none(), times),
        "last_sent": sent,
        "reason_to_stop": st.one_of(st.none(), st.just("the lease is lost")),
        "fenced_at": st.one_of(st.just(math.inf), times),
        "begins_before": st.one_of(st.just(math.inf), times),
        "limits": limits,
    }
).map(
    lambda situation: (
        situation | {"last_sent": situation["last_sent"] if situation["began"] is not None else None}
    )
)


def step(**situation: Any) -> Step:
    usual = {
        "began": 0.0,
        "last_sent": None,
        "reason_to_stop": None,
        "fenced_at": math.inf,
        "begins_before": math.inf,
        "limits": Limits(),
    }
    return next_step(**usual | situation)


@given(situations)
def test_an_attempt_that_has_not_begun_is_never_interrupted_or_given_up(situation: dict[str, Any]) -> None:
    found = step(**situation | {"began": None, "last_sent": None})
    assert isinstance(found, (Wait, Withdraw))
    must_not_begin = situation["reason_to_stop"] is not None or situation["now"] >= situation["begins_before"]
    assert isinstance(found, Withdraw) is must_not_begin


@given(situations)
def test_a_wait_never_sleeps_past_something_to_do(situation: dict[str, Any]) -> None:
    found = step(**situation)
    if not isinstance(found, Wait):
        return
    # At each moment before its end there is nothing else to do, if nothing changes from outside.
    end = min(found.until, situation["now"] + 50)
    between = [situation["now"] + part * (end - situation["now"]) / 7 for part in range(7)]
    assert all(isinstance(step(**situation | {"now": moment}), Wait) for moment in between)


@given(situations)
def test_a_wait_that_ended_by_a_limit_is_followed_by_a_deed(situation: dict[str, Any]) -> None:
    found = step(**situation | {"fenced_at": math.inf})
    if isinstance(found, Wait) and found.until < math.inf:
        assert not isinstance(step(**situation | {"now": found.until, "fenced_at": math.inf}), Wait)


@given(situations)
def test_a_lost_lease_stops_an_attempt_once_and_gives_it_up_after_its_grace(
    situation: dict[str, Any],
) -> None:
    running = situation | {"began": 0.0, "reason_to_stop": "the lease is lost"}
    before = step(**running | {"last_sent": None})
    assert isinstance(before, Interrupt)
    assert isinstance(before.interruption, AttemptStopped)
    stopped = SentInterruption(before.interruption, running["now"])
    assert step(**running | {"last_sent": stopped}) == Wait(running["now"] + STOP_GRACE_SECONDS)
    late = running["now"] + STOP_GRACE_SECONDS
    assert step(**running | {"last_sent": stopped, "now": late}) == GiveUp(before.interruption)


@given(situations)
def test_no_attempt_goes_on_after_its_hard_limit(situation: dict[str, Any]) -> None:
    running = situation | {"began": 0.0, "limits": Limits(situation["limits"].soft, 10.0), "now": 10.0}
    found = step(**running)
    is_stopping = isinstance(getattr(running["last_sent"], "interruption", None), AttemptStopped)
    if running["reason_to_stop"] is None and not is_stopping:
        assert found == GiveUp(None)
    else:
        assert not isinstance(found, Wait) or is_stopping


@given(seconds, times)
def test_the_soft_limit_interrupts_once(soft: float, now: float) -> None:
    limits = Limits(soft, math.inf)
    found = step(now=now, limits=limits)
    assert isinstance(found, Interrupt) is (now >= soft)
    if isinstance(found, Interrupt):
        assert isinstance(found.interruption, SoftLimitReached)
        again = step(now=now, limits=limits, last_sent=SentInterruption(found.interruption, now))
        assert again == Wait(math.inf)
