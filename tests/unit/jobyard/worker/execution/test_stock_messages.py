"""Jobs whose row holds a message of stock Celery: its arguments are bound when they run."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import ForeignMessageError
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Outcome, Succeeded, new_id
from jobyard.tasks.declare import task
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.registry import unregister
from jobyard.worker.bridge.new_job import job_priority
from jobyard.worker.execution.attempt import attempt
from jobyard.worker.execution.stock_arguments import bind_arguments

NAME = "test.of_tomorrow"
NO_LINKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@pytest.fixture
def definition() -> Iterator[AnyDefinition]:
    @task(NAME)
    def add(x: int, y: int = 0) -> int:
        return x + y

    yield add.definition
    unregister(NAME)


def ended(definition: AnyDefinition, body: object) -> Outcome:
    payload = json.dumps({"celery_message": {"task": NAME, "id": "an-id", "body": body}})
    return attempt(definition, ClaimedJob(new_id(), NAME, payload, 1, 0, 3, 0, utc_now()))


def test_arguments_that_cannot_be_written_as_json_say_so() -> None:
    @task("test.anything")
    def anything(value: Any) -> None: ...

    try:
        with pytest.raises(ForeignMessageError, match="do not fit"):
            bind_arguments(anything.definition, ["\ud800"], {})
    finally:
        unregister("test.anything")


def test_the_arguments_reach_the_task(definition: AnyDefinition) -> None:
    outcome = ended(definition, [[2], {"y": 3}, NO_LINKS])
    assert isinstance(outcome, Succeeded)
    assert outcome.result == "5"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([[], {}, NO_LINKS], "missing a required argument"),
        ([[1, 2, 3], {}, NO_LINKS], "too many positional arguments"),
        ([["two"], {}, NO_LINKS], "valid integer"),
        ([[1], {"z": 1}, NO_LINKS], "unexpected keyword argument"),
        ([[1], {}, NO_LINKS | {"chain": [{"task": "a"}]}], "chain"),
    ],
)
def test_those_that_do_not_fit_make_it_a_dead_letter(
    definition: AnyDefinition, body: object, words: str
) -> None:
    outcome = ended(definition, body)
    assert isinstance(outcome, Failed)
    assert outcome.retry_in is None
    assert outcome.failure.cause is Cause.FOREIGN_MESSAGE
    assert words in outcome.failure.message


@pytest.mark.parametrize(("is_zero_first", "ends"), [(True, (4, 0)), (False, (4, 9))])
def test_priorities_keep_their_order_and_none_is_the_tasks_own(
    is_zero_first: bool, ends: tuple[int, int]
) -> None:
    found = [job_priority(number, 4, is_zero_first=is_zero_first) for number in range(10)]
    assert found == sorted(found, reverse=is_zero_first)
    assert (found[0], found[-1]) == ends
    assert job_priority(200, 4, is_zero_first=is_zero_first) == found[-1]
