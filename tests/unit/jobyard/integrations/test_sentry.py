"""sentry-sdk, with a transport that keeps what it would send: one event for each failed attempt."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from time import monotonic, sleep
from typing import Any

import pytest
import sentry_sdk
from celery.app import trace
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import Discard, RetryLater
from jobyard.jobs.job import ClaimedJob, Failed, new_id
from jobyard.jobs.ledger.leases import Lease
from jobyard.tasks.declare import task
from jobyard.tasks.task import Task
from jobyard.worker.execution.attempt import attempt, attempt_async
from jobyard.worker.execution.outcome_log import log_outcomes
from jobyard.worker.execution.supervisor import run_attempt

_names = (f"test.watched_by_sentry_{number}" for number in count())


class HiccupError(Exception):
    pass


class Kept(Transport):
    """Keeps what Sentry sends."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.items += [item.payload.json for item in envelope.items if item.payload.json]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [item for item in self.items if "exception" in item or "logentry" in item]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return [item for item in self.items if item.get("type") == "transaction"]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """Sentry as a program sets it up, with the integration that it enables by itself."""
    transport, built = Kept(), trace.build_tracer
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=transport,
        traces_sample_rate=1.0,
        data_collection={"queues": True},
        default_integrations=False,
        auto_enabling_integrations=False,  # that of Starlette would change the servers of other tests
        integrations=[CeleryIntegration(), LoggingIntegration(event_level=logging.ERROR)],
    )
    yield transport
    sentry_sdk.init(default_integrations=False, auto_enabling_integrations=False)
    trace.build_tracer = built


def watched(deed: object) -> Task[..., Any]:
    @task(next(_names), autoretry_for=(HiccupError,), max_retries=1)
    def do(number: int, text: str = "") -> int:
        if isinstance(deed, BaseException):
            raise deed
        return number

    return do


def run(do: Task[..., Any], failures: int = 0) -> ClaimedJob:
    """Run an attempt as a worker does, with the lines that it logs."""
    job = ClaimedJob(new_id(), do.name, '{"number":7,"text":"x"}', failures + 1, failures, 2, 0, utc_now())
    log_outcomes([attempt(do.definition, job)], {job.id: do.name})
    return job


def test_a_failed_attempt_is_one_event_with_its_task_and_arguments(kept: Kept) -> None:
    do = watched(ValueError("as ordered"))
    job = run(do)
    [event] = kept.events
    assert event["exception"]["values"][-1]["type"] == "ValueError"
    assert event["level"] == "error"
    assert event["transaction"] == do.name
    assert event["tags"]["celery_task_id"] == job.id
    assert event["extra"]["celery-job"] == {"task_name": do.name, "args": [7, "x"], "kwargs": {}}
    assert any(
        frame["function"] == "do" for frame in event["exception"]["values"][-1]["stacktrace"]["frames"]
    )


def test_each_of_two_failed_attempts_is_an_event_and_the_first_is_a_warning(kept: Kept) -> None:
    do = watched(HiccupError("no"))
    run(do)
    run(do, failures=1)
    assert [event["level"] for event in kept.events] == ["warning", "error"]
    assert [event["tags"]["will_retry"] for event in kept.events] == ["true", "false"]
    assert [one["contexts"]["trace"]["status"] for one in kept.transactions] == ["internal_error"] * 2


def test_a_job_that_succeeds_is_a_transaction_and_no_event(kept: Kept) -> None:
    do = watched("fine")
    run(do)
    assert not kept.events
    [transaction] = kept.transactions
    assert transaction["transaction"] == do.name
    assert transaction["contexts"]["trace"]["op"] == "queue.task.celery"
    assert transaction["contexts"]["trace"]["status"] == "ok"


@pytest.mark.parametrize("asked", [Discard("gone"), RetryLater(timedelta(seconds=1), "busy")])
def test_what_a_task_asks_for_is_no_event(kept: Kept, asked: Exception) -> None:
    run(watched(asked))
    assert not kept.events


def test_a_workers_tracers_and_direct_calls_make_no_second_event(kept: Kept) -> None:
    do = watched(ValueError("as ordered"))
    # As a worker does for each task when it starts, by the function that Sentry has replaced.
    build: Any = trace.build_tracer
    build(do.name, do, app=do.app)
    run(do)
    with pytest.raises(ValueError, match="as ordered"):
        do(1)
    assert len(kept.events) == 1


def test_the_scopes_of_coroutines_are_apart(kept: Kept) -> None:
    @task(next(_names))
    async def do(number: int) -> None:
        sentry_sdk.set_tag("own", number)
        await asyncio.sleep(0.01)
        raise ValueError(str(number))

    jobs = [
        ClaimedJob(new_id(), do.name, f'{{"number":{number}}}', 1, 0, 1, 0, utc_now()) for number in range(3)
    ]

    async def run_all() -> None:
        await asyncio.gather(*(attempt_async(do.definition, job, lambda: None) for job in jobs))

    asyncio.run(run_all())
    found = {
        (event["tags"]["own"], event["exception"]["values"][-1]["value"], event["tags"]["celery_task_id"])
        for event in kept.events
    }
    assert found == {(number, str(number), job.id) for number, job in enumerate(jobs)}


def test_an_attempt_that_is_left_behind_at_its_hard_limit_is_one_event(kept: Kept) -> None:
    @task(next(_names), soft_time_limit=0.1, time_limit=0.2)
    def do(number: int) -> None:
        deadline = monotonic() + 1
        while monotonic() < deadline:
            with suppress(Exception):
                sleep(0.05)

    job = ClaimedJob(new_id(), do.name, '{"number":7}', 1, 0, 1, 0, utc_now())
    outcome = run_attempt(do.definition, job, Lease(job, 60, monotonic()))
    assert isinstance(outcome, Failed)
    [event] = kept.events
    assert event["exception"]["values"][-1]["type"] == "TimeLimitExceeded"
    assert (event["transaction"], event["tags"]["celery_task_id"]) == (do.name, job.id)


def test_without_leave_no_arguments_are_sent(kept: Kept) -> None:
    sentry_sdk.get_client().options["data_collection"]["queues"] = False
    run(watched(ValueError("as ordered")))
    [event] = kept.events
    assert event["extra"]["celery-job"]["args"] == "[Filtered]"
