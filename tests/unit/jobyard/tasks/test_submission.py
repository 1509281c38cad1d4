"""What one call hands in: payloads with options of their own, and from a running event loop."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from jobyard.jobs.errors import IdempotencyConflictError
from jobyard.jobs.job import Status
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from jobyard.tasks import event_loop_warning
from jobyard.tasks.declare import task
from jobyard.tasks.options import JobOptions
from jobyard.tasks.registry import unregister
from jobyard.tasks.submission import new_jobs
from jobyard.tasks.task import Task
from jobyard.testing import RecordedJobs, eager


@pytest.fixture
def say() -> Iterator[Task[[str], str]]:
    @task("test.say", priority=3)
    def say(name: str) -> str:
        return f"hello {name}"

    yield say
    unregister("test.say")


@pytest.fixture
def jobs() -> Iterator[RecordedJobs]:
    with eager() as jobs:
        yield jobs


def test_each_of_many_payloads_may_have_options_of_its_own(say: Task[[str], str], jobs: RecordedJobs) -> None:
    handles = say.submit_many(
        [
            say.payload("Ada"),
            say.options(priority=9).payload("Bob"),
            say.options(tags=["late"], unique_key="k", idempotency_key="i").payload("Cleo"),
        ],
        JobOptions(priority=5, tags=("all",)),
    )
    assert [handle.get() for handle in handles] == ["hello Ada", "hello Bob", "hello Cleo"]
    rows = [handle.job for handle in handles]
    assert [row.priority for row in rows] == [5, 9, 5]
    assert [row.tags for row in rows] == [("all",), ("all",), ("late",)]
    assert [row.idempotency_key for row in rows] == [None, None, "i"]


def test_options_of_one_payload_must_go_with_those_of_all(say: Task[[str], str]) -> None:
    in_an_hour = JobOptions(delay=timedelta(hours=1))
    with pytest.raises(ValidationError, match="ends before the job may start"):
        say.submit_many([say.options(expires_in=timedelta(minutes=1)).payload("Ada")], in_an_hour)


def test_where_one_key_was_used_for_another_request_none_is_accepted(
    say: Task[[str], str], jobs: RecordedJobs
) -> None:
    keyed = say.options(idempotency_key="i")
    keyed.delay("Ada")
    with pytest.raises(IdempotencyConflictError, match="'i'"):
        say.submit_many([keyed.payload("Bob"), say.options(idempotency_key="other").payload("Cleo")])
    assert [job.idempotency_key for job in jobs.all()] == ["i"]


def test_a_connection_belongs_to_all_payloads_of_a_call(say: Task[[str], str], own_ledger: Ledger) -> None:
    with own_ledger.database.writing() as connection:
        with pytest.raises(TypeError, match=r"submit_many\(..., connection=...\)"):
            say.options(connection=connection).payload("Ada")
        payloads = [say.payload("Ada"), say.options(priority=9, delay=timedelta(hours=1)).payload("Bob")]
        handles = say.submit_many(payloads, connection=connection)
    rows = [get_job(own_ledger.database, handle.id) for handle in handles]
    assert [(row.priority, row.status) for row in rows] == [(3, Status.QUEUED), (9, Status.SCHEDULED)]


def test_a_payload_of_another_task_is_refused(say: Task[[str], str]) -> None:
    @task("test.other")
    def other(number: int) -> None: ...

    try:
        wrong: list[Any] = [other.options(priority=9).payload(1)]
        with pytest.raises(TypeError, match=r"'test.say' takes a SayArguments, not a OtherArguments"):
            say.submit_many(wrong)
    finally:
        unregister("test.other")


def test_jobs_that_are_alike_are_made_alike(say: Task[[str], str]) -> None:
    made = new_jobs(say.definition, [say.payload("Ada"), say.payload("Bob")], JobOptions())
    assert made[0][3:] == made[1][3:]
    assert made[0].bulk is None


def test_a_call_that_holds_up_a_running_event_loop_says_so_once(
    say: Task[[str], str], jobs: RecordedJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_loop_warning, "_has_warned", False)

    async def call() -> None:
        handle = await say.delay_async("Ada")
        assert await handle.get_async(timeout=5) == "hello Ada"
        say.delay("Bob")
        say.submit_many([say.payload("Cleo")])

    with capture_logs() as logs:
        say.delay("Ada")
        asyncio.run(call())
    warnings = [log for log in logs if log["log_level"] == "warning"]
    assert [log["task"] for log in warnings] == ["test.say"]
    assert "await task.delay_async(...)" in warnings[0]["event"]


def test_a_connection_of_the_other_kind_is_refused_with_the_call_for_it(say: Task[[str], str]) -> None:
    with pytest.raises(TypeError, match=r"use `await task.submit_async\(...\)`, or `delay_async`"):
        say.options(connection=AsyncSession()).delay("Ada")
    with eager(), pytest.raises(TypeError, match=r"use `await task.submit_async\(...\)`, or `delay_async`"):
        say.options(connection=AsyncSession()).delay("Ada")
