"""Limits that came with a call: they count instead of the task's, wherever an attempt runs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobyard.broker.kill_limit import KILL_GRACE_SECONDS, kill_after
from jobyard.broker.message_template import MessageTemplate
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Succeeded
from jobyard.tasks.declare import task
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution import isolated
from jobyard.worker.execution.isolated import JOB
from jobyard.worker.execution.limits import limits_of
from jobyard.worker.execution.message import _longest_seconds
from jobyard.worker.execution.supervisor import run_attempt, run_attempts
from tests.support.watched import Order, claimed, compute, doing, lease, names


def with_limits(hard: float | None = None, soft: float | None = None) -> ClaimedJob:
    return claimed()._replace(time_limit=hard, soft_time_limit=soft)


@pytest.mark.parametrize(
    ("declared", "given", "limits"),
    [
        ({}, (None, 10), (10, 15)),
        ({}, (10, None), (10, 15)),
        ({}, (8, 10), (8, 10)),
        ({"time_limit": 60}, (None, 10), (10, 15)),
        ({"time_limit": 60}, (10, None), (10, 60)),
        ({"time_limit": 60, "soft_time_limit": 50}, (None, 70), (50, 70)),
        ({"time_limit": 60, "soft_time_limit": 50}, (None, 40), (40, 45)),
        ({"time_limit": 60, "soft_time_limit": 50}, (70, None), (70, 75)),
    ],
)
def test_a_limit_of_the_call_is_completed_by_the_tasks_own(
    declared: dict[str, Any], given: tuple[float | None, float | None], limits: tuple[float, float]
) -> None:
    assert doing(lambda: "", **declared).limits_of_call(*given) == limits


@pytest.mark.parametrize(
    ("own", "limits"),
    [
        ((None, None), (50, 60)),
        ((600, 500), (500, 600)),
        ((5, None), (5, 5)),
        ((None, 70), (60, 60)),
    ],
)
def test_a_job_without_limits_of_its_own_has_its_tasks(
    own: tuple[float | None, float | None], limits: tuple[float, float]
) -> None:
    watched = doing(lambda: "", time_limit=60, soft_time_limit=50)
    assert limits_of(watched, with_limits(*own)) == limits


def test_a_job_is_stopped_at_its_own_limit_and_its_neighbour_in_the_bundle_is_not() -> None:
    turns: Iterator[Callable[[], object]] = iter([compute, lambda: threading.Event().wait(0.2)])
    watched = doing(lambda: next(turns)(), time_limit=60)
    jobs = [with_limits(30, 0.05), with_limits(60, 40)]
    [outcomes] = run_attempts(watched, [(job, lease(job)) for job in jobs], 30)
    assert [type(outcome) for outcome in outcomes] == [Failed, Succeeded]
    assert isinstance(outcomes[0], Failed)
    assert outcomes[0].failure.cause is Cause.TIME_LIMIT
    assert "stopped at its limit of 0.05 s" in outcomes[0].failure.message


def test_a_job_may_take_longer_than_its_task_allows_others() -> None:
    watched = doing(lambda: threading.Event().wait(0.3), time_limit=0.05)
    job = with_limits(30, 20)
    assert isinstance(run_attempt(watched, job, lease(job)), Succeeded)


def test_what_blocks_past_its_own_hard_limit_is_given_up() -> None:
    go_on = threading.Event()
    job = with_limits(0.1, 0.05)
    outcome = run_attempt(doing(go_on.wait, time_limit=60), job, lease(job))
    go_on.set()
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "TimeLimitExceeded"
    assert "not done after 0.1 s" in outcome.failure.message


def test_each_coroutine_has_its_own_limit() -> None:
    watched = _asynchronous()
    jobs = [with_limits(30, 0.05), with_limits(60, 40)]
    [outcomes] = run_attempts(watched, [(job, lease(job)) for job in jobs], 30)
    by_id = {outcome.job_id: outcome for outcome in outcomes}
    stopped, ended = by_id[jobs[0].id], by_id[jobs[1].id]
    assert isinstance(stopped, Failed)
    assert stopped.failure.message == "stopped at its limit of 0.05 s"
    assert isinstance(ended, Succeeded)


def _asynchronous() -> AnyDefinition:
    @task(next(names), time_limit=0.06)
    async def rest(order: Order) -> str:
        await asyncio.sleep(0.3)
        return "rested"

    return rest.definition


def test_leases_are_renewed_for_as_long_as_the_jobs_own_limits_allow() -> None:
    watched = doing(lambda: "", time_limit=60, soft_time_limit=50)
    assert _longest_seconds(watched, [with_limits(600, 500), with_limits()]) == 660


def test_an_isolated_process_is_told_the_limits_and_waited_for_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = with_limits(600, 500)
    assert JOB.validate_json(JOB.dump_json(job)) == job
    monkeypatch.setattr(isolated, "LONGEST_START_SECONDS", 0)
    monkeypatch.setattr(isolated, "limits_of", lambda task, job: limits_of(task, job)._replace(hard=-1))
    outcome = isolated.attempt_isolated(doing(lambda: ""), job)
    assert isinstance(outcome, Failed)
    assert "signal SIGKILL" in outcome.failure.message


def test_celery_kills_a_child_only_after_the_jobs_own_limit() -> None:
    assert kill_after(None) is None
    for limit in (0.5, 1, 17, 600, 86_400):
        seconds = kill_after(limit)
        assert seconds is not None
        assert limit + KILL_GRACE_SECONDS <= seconds < 2 * (limit + KILL_GRACE_SECONDS)
    assert MessageTemplate.for_task("any").headers["timelimit"] == [None, None]
    assert MessageTemplate.for_task("any", kill_after(600)).headers["timelimit"] == [1024, None]
