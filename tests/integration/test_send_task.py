"""`send_task`: a call by name of a task that this process has, or that only a worker has."""

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from jobyard import AsyncResult, CallRefusedError, send_task
from jobyard.jobs.errors import HousekeepingTaskError, TaskNotFoundError, UnknownTaskNameError
from jobyard.jobs.job import Cause, Status
from jobyard.tasks.housekeeping import heartbeat
from tests.support.bad_tasks import Done, deed
from tests.support.processes import YardProcesses
from tests.support.waiting import wait_until

# As another program calls it, which has no task of this yard.
ELSEWHERE = """
import sys
from jobyard import AsyncResult, send_task
from jobyard.tasks.registry import declared
assert not declared, declared
called = send_task("bad.deed", [{"text": "from elsewhere"}], task_id=sys.argv[1], tags=["elsewhere"])
print(called.id, AsyncResult(sys.argv[1]).get(timeout=30))
assert not declared, declared
"""


@pytest.fixture
def unknown_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as one that has imported no task; the ledger knows those that the worker declared."""
    monkeypatch.setattr("jobyard.tasks.send_task.known_public_task", lambda name: None)


def test_a_task_of_this_process_is_called_by_its_name_and_checked_here(worker: YardProcesses) -> None:
    handle = send_task("bad.deed", [{"text": "by name"}], countdown=0.1, queue="default")
    assert handle.get(timeout=20) == Done(said="by name")
    assert send_task("bad.old", kwargs={"order": {"text": "by alias"}}).job.task == "bad.deed"
    with pytest.raises(TypeError, match=r"missing a required argument|too many positional"):
        send_task("bad.deed", [1, 2])
    with pytest.raises(ValidationError, match="nonsense"):
        send_task("bad.deed", [{"nonsense": 1}])
    with pytest.raises(CallRefusedError, match="workflows"):
        send_task("bad.deed", [{}], link=object())
    with pytest.raises(HousekeepingTaskError):
        send_task(heartbeat.name)


def test_a_program_without_tasks_calls_one_by_its_name_and_waits_for_it(worker: YardProcesses) -> None:
    mine = f"order-{uuid.uuid4()}"
    without_tasks = {"JOBYARD_TASKS__MODULES": ""}
    program = YardProcesses(worker.home, worker.settings | without_tasks)
    finished = program.run_code(ELSEWHERE, mine)
    assert finished.stdout.strip() == f"{mine} {{'said': 'from elsewhere'}}", finished.stderr
    job = AsyncResult[Any](mine).job
    assert (job.status, job.tags, job.queue) == (
        Status.SUCCEEDED,
        ("elsewhere",),
        deed.definition.declaration.queue,
    )


@pytest.mark.usefixtures("unknown_here")
def test_a_call_that_does_not_fit_its_task_is_a_dead_letter_with_the_reason(worker: YardProcesses) -> None:
    handle = send_task("bad.deed", [1, 2, 3])
    wait_until(handle.ready, 20, "the call to be refused")
    failure = handle.job.failure
    assert failure is not None
    assert failure.cause is Cause.FOREIGN_MESSAGE
    assert "bad.deed" in failure.message


@pytest.mark.usefixtures("unknown_here", "worker")
def test_what_celery_writes_as_json_is_written_for_a_task_elsewhere() -> None:
    arguments = {"at": datetime(2030, 1, 1, tzinfo=UTC), "price": Decimal("1.5"), "id": uuid.uuid4()}
    handle = send_task("bad.deed", kwargs=arguments, countdown=3600, time_limit=30, headers={"a": 1})
    [args, kwargs, _] = json.loads(handle.job.payload)["celery_message"]["body"]
    assert (args, kwargs.keys()) == ([], arguments.keys())
    assert (handle.job.soft_time_limit, handle.job.time_limit, handle.job.headers) == (30, 35, {"a": 1})
    for wrong in (object(), float("nan"), "a\x00b", {1, 2}.__iter__()):
        with pytest.raises(TypeError, match="an argument"):
            send_task("bad.deed", [wrong])


@pytest.mark.parametrize("wrong", ["bad.dead", "bad.deeds"])
def test_a_name_that_no_process_has_declared_is_refused_with_those_that_are_like_it(
    worker: YardProcesses, wrong: str
) -> None:
    with pytest.raises(UnknownTaskNameError, match=r"is it .*'bad\.deed'.*workers declare it") as caught:
        send_task(wrong, [1])
    assert isinstance(caught.value, TaskNotFoundError)


@pytest.mark.parametrize(
    ("args", "kwargs", "why"), [("ab", None, "args must be"), ([], [1], "kwargs must be"), (3, None, "args")]
)
def test_arguments_are_a_list_and_a_mapping(args: Any, kwargs: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        send_task("bad.deed", args, kwargs)
