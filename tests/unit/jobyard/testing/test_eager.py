"""In test mode a job runs where it is handed in, as it would in a worker, and nothing else runs."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.signals import task_success
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from jobyard.broker.checks.broker import exit_if_misconfigured
from jobyard.broker.checks.eager import eager_fault
from jobyard.broker.publisher import get_publisher
from jobyard.http.app import create_app
from jobyard.jobs.errors import Discard, IdempotencyConflictError, JobNotFoundError, RetryLater
from jobyard.jobs.files.store import get_files
from jobyard.jobs.job import Cause, Status
from jobyard.jobs.ledger import get_ledger
from jobyard.settings import get_settings
from jobyard.settings.eager import set_eager, set_eager_propagates
from jobyard.tasks.context import current_job
from jobyard.tasks.declare import task
from jobyard.tasks.external import external
from jobyard.tasks.result_errors import JobFailedError
from jobyard.tasks.task import Task
from jobyard.testing import RecordedJobs, eager
from tests.support.changed_settings import changed_settings
from tests.support.processes import ROOT

pytestmark = pytest.mark.usefixtures("tasks_are_forgotten")


@pytest.fixture
def jobs() -> Iterator[RecordedJobs]:
    with eager() as jobs:
        yield jobs


@dataclass
class Point:
    x: int
    at: datetime


def test_a_job_has_ended_when_its_handle_is_there(jobs: RecordedJobs) -> None:
    @task("eager.add")
    def add(x: int, y: int) -> int:
        return x + y

    handle = add.delay(1, 2)

    assert (handle.job.status, handle.get(), handle.is_new) == (Status.SUCCEEDED, 3, True)
    assert [job.id for job in jobs.all("eager.add")] == [handle.id]


def test_arguments_and_results_go_through_json_and_come_back(jobs: RecordedJobs) -> None:
    seen: list[Any] = []

    @task("eager.move")
    def move(point: Point, *rest: Any) -> Point:
        seen.append((point, rest))
        return Point(point.x + 1, point.at)

    point = Point(1, datetime(2030, 1, 1, tzinfo=UTC))
    result = move.delay(point, ("a", "tuple")).get()

    assert result == Point(2, point.at)
    assert seen == [(point, (["a", "tuple"],))]
    assert seen[0][0] is not point


def test_retries_are_counted_and_not_waited_for(jobs: RecordedJobs) -> None:
    attempts: list[int] = []

    @task("eager.flaky", autoretry_for=(OSError,), max_retries=5, default_retry_delay=3600)
    def flaky() -> str:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            raise OSError(f"no {len(attempts)}")
        return "done"

    handle = flaky.delay()

    assert (handle.get(), attempts) == ("done", [1, 2, 3])
    assert [attempt.failure.message for attempt in jobs.attempts(handle.id)] == ["no 1", "no 2"]
    assert handle.job.failures == 2


def test_a_job_that_uses_up_its_attempts_is_a_dead_letter(jobs: RecordedJobs) -> None:
    @task("eager.broken", autoretry_for=(OSError,), max_retries=2)
    def broken() -> None:
        raise OSError("gone")

    handle = broken.delay()

    [dead] = jobs.dead()
    assert (dead.id, dead.failures) == (handle.id, 3)
    assert [attempt.attempt for attempt in jobs.attempts(dead.id)] == [1, 2, 3]
    assert "OSError: gone" in (jobs.attempts(dead.id)[0].failure.traceback or "")
    with pytest.raises(JobFailedError, match="gone") as caught:
        handle.get()
    assert isinstance(caught.value, OSError)
    assert (handle.state, handle.traceback) == ("FAILURE", jobs.attempts(dead.id)[-1].failure.traceback)


def test_what_an_attempt_has_done_is_there_for_the_next(jobs: RecordedJobs) -> None:
    @task("eager.stepwise")
    def stepwise() -> list[int]:
        done = current_job().progress(list[int]) or []
        if len(done) < 3:
            raise RetryLater(timedelta(hours=1), "more", progress=[*done, len(done)])
        return done

    assert stepwise.delay().get() == [0, 1, 2]


def test_a_job_that_asks_for_ever_for_another_attempt_ends(jobs: RecordedJobs) -> None:
    @task("eager.endless")
    def endless() -> None:
        raise RetryLater(timedelta(seconds=1), "not yet", counts=False)

    endless.delay()

    [dead] = jobs.dead()
    assert dead.failure is not None
    assert "nothing else runs here" in dead.failure.message


@pytest.mark.parametrize("error", [Discard("of no use"), SystemExit(3), ValueError("wrong")])
def test_every_kind_of_end_is_recorded(jobs: RecordedJobs, error: BaseException) -> None:
    @task("eager.fails")
    def fails() -> None:
        raise error

    fails.delay()

    [dead] = jobs.dead("eager.fails")
    assert dead.failure is not None
    assert dead.failure.type == type(error).__name__
    assert (dead.failure.cause is Cause.DISCARDED) == isinstance(error, Discard)


def test_a_bound_task_knows_its_request_and_retries_as_ever(jobs: RecordedJobs) -> None:
    seen: list[Any] = []

    @task("eager.bound", bind=True, max_retries=2, default_retry_delay=3600)
    def bound(self: Any, x: int) -> str:
        request, threads = self.request, threading.active_count()
        seen.append((request.is_eager, request.retries, request.args, request.root_id))
        self.update_state(state="HALF", meta={"x": x})
        assert threading.active_count() == threads
        if request.retries < 1:
            raise self.retry(exc=OSError("not yet"))
        return str(request.id)

    handle = bound.delay(5)
    assert handle.get() == handle.id
    assert seen == [(True, 0, [5], handle.id), (True, 1, [5], handle.id)]
    seen.clear()
    alone = bound.apply((5,))
    assert (alone.get(), alone.state) == (alone.id, "SUCCESS")
    assert [request[1] for request in seen] == [0, 1]
    assert {request[-1] for request in seen} == {alone.id}


def test_hooks_and_signals_are_called(jobs: RecordedJobs) -> None:
    heard: list[str] = []

    class Base(Task[..., Any]):
        def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
            heard.append(f"on_failure {exc}")

        def after_return(self, *_: Any) -> None:
            heard.append("after_return")

    def on_success(sender: Any, result: Any, **_: Any) -> None:
        heard.append(f"task_success {sender.name} {result} {sender.request.is_eager}")

    @task("eager.hooked", base=Base)
    def hooked(x: int) -> int:
        return 1 // x

    task_success.connect(on_success)
    try:
        hooked.delay(1)
        hooked.delay(0)
    finally:
        task_success.disconnect(on_success)
    assert heard == [
        "task_success eager.hooked 1 True",
        "after_return",
        "on_failure integer division or modulo by zero",
        "after_return",
    ]


def test_a_delayed_job_runs_at_once(jobs: RecordedJobs) -> None:
    @task("eager.later")
    def later() -> str:
        return "now"

    handle = later.options(delay=timedelta(days=1)).delay()

    assert handle.get() == "now"
    assert handle.job.run_at - handle.job.created_at == timedelta(days=1)


def test_a_job_of_a_stock_worker_is_dead_and_no_message_is_sent() -> None:
    with changed_settings(CELERY__RESULT_BACKEND="redis://127.0.0.1:1/0"), eager() as jobs:
        external("old.add", deadline=timedelta(minutes=1)).delay(1, 2)
    [dead] = jobs.dead("old.add")
    assert dead.failure is not None
    assert "replace the call in this test" in dead.failure.message


def test_keys_do_as_ever(jobs: RecordedJobs) -> None:
    @task("eager.keyed")
    def keyed(x: int) -> bool:
        is_first = not current_job().attempt > 1
        # While this job runs, another with its key is this one.
        again = keyed.options(unique_key="k").delay(2)
        return is_first and not again.is_new

    first = keyed.options(unique_key="k", idempotency_key="i").delay(1)
    repeated = keyed.options(unique_key="k", idempotency_key="i").delay(1)

    assert first.get() is True
    assert (repeated.id, repeated.is_new) == (first.id, False)
    assert keyed.options(unique_key="k").delay(1).is_new
    with pytest.raises(IdempotencyConflictError):
        keyed.options(idempotency_key="i").delay(2)


def test_a_job_hands_in_others_and_may_ask_for_their_results(jobs: RecordedJobs) -> None:
    @task("eager.countdown")
    def countdown(n: int) -> int:
        return 0 if n == 0 else countdown.delay(n - 1).get() + 1

    handle = countdown.delay(3)

    assert handle.get() == 3
    assert [job.parent for job in jobs.all()] == [None, *(job.id for job in jobs.all()[:-1])]


def test_async_tasks_run_with_and_without_a_running_loop(jobs: RecordedJobs) -> None:
    @task("eager.waits")
    async def waits(n: int) -> tuple[int, str, bool]:
        await asyncio.sleep(0)
        job = current_job()
        return n, job.job_id, job.is_eager

    async def call() -> None:
        for handle in (await waits.delay_async(1), waits.delay(1)):
            assert await handle.get_async() == (1, handle.id, True)

    handle = waits.delay(1)
    assert handle.get() == (1, handle.id, True)
    asyncio.run(call())


def test_errors_propagate_where_that_is_asked_for() -> None:
    attempts: list[int] = []

    @task("eager.raises", autoretry_for=(OSError,), max_retries=2)
    def raises() -> None:
        attempts.append(1)
        raise OSError("its own")

    with eager(propagate=True) as jobs, pytest.raises(OSError, match="its own"):
        raises.delay()
    assert len(attempts) == 3
    assert len(jobs.dead()) == 1


def test_the_settings_do_what_the_block_does() -> None:
    program = """
import jobyard
@jobyard.task("eager.set")
def fails(then: str) -> str:
    if then == "raise":
        raise ValueError("its own")
    return then
assert fails.delay("return").get() == "return"
try:
    fails.delay("raise")
except ValueError as error:
    print(error)
"""
    environment = {**os.environ, "JOBYARD_TASKS__EAGER": "true", "JOBYARD_TASKS__EAGER_PROPAGATES": "true"}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "its own"


def test_it_is_switched_in_a_process_that_runs() -> None:
    @task("eager.switched")
    def switched(then: str) -> str:
        if then == "raise":
            raise ValueError("its own")
        return then

    before = get_ledger()
    set_eager(True)
    try:
        set_eager(True)
        handle = switched.delay("return")
        assert handle.get() == "return"
        switched.delay("raise")
        set_eager_propagates(True)
        assert handle.get() == "return"  # the ledger is still the same
        with pytest.raises(ValueError, match="its own"):
            switched.delay("raise")
        with eager() as jobs:
            switched.delay("raise")
            assert len(jobs.all()) == 1
        assert handle.get() == "return"
    finally:
        set_eager(False)
    set_eager(False)
    assert get_ledger() is before
    assert not get_settings().tasks.eager
    assert not get_settings().tasks.eager_propagates


def test_a_worker_and_its_like_do_not_start_with_the_setting() -> None:
    with (
        changed_settings(TASKS__EAGER="true"),
        pytest.raises(SystemExit, match="is for tests: each process that hands"),
    ):
        exit_if_misconfigured(eager_fault(get_settings()))
    assert eager_fault(get_settings()) is None
    environment = {**os.environ, "JOBYARD_TASKS__EAGER": "true"}
    command = [sys.executable, "-m", "jobyard.worker.keeper_thread"]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, "for tests: each process that hands" in ran.stderr) == (1, True)


def test_nothing_is_left_of_a_block() -> None:
    @task("eager.leaves")
    def leaves(text: str) -> str:
        return get_files().save(text.encode(), name="a.txt").id

    before, threads = (get_ledger(), get_publisher(), get_files()), set(threading.enumerate())
    with eager():
        handle = leaves.delay("x" * 100_000)
        assert get_files().read(handle.get()) == b"x" * 100_000
        assert handle.job.payload.endswith('x"}')  # although it is longer than what a row holds otherwise
        assert set(threading.enumerate()) == threads
    assert (get_ledger(), get_publisher(), get_files()) == before
    with eager() as jobs:
        assert jobs.all() == []
        with pytest.raises(JobNotFoundError):
            _ = handle.job


def test_threads_hand_in_jobs_at_the_same_time(jobs: RecordedJobs) -> None:
    @task("eager.doubles")
    def doubles(n: int) -> int:
        return 2 * n

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: doubles.delay(n).get(), range(80)))
    assert results == [2 * n for n in range(80)]


def test_a_connection_is_checked_and_the_job_runs_at_once(jobs: RecordedJobs) -> None:
    @task("eager.joins")
    def joins() -> str:
        return "ran"

    with Session(create_engine("sqlite://")) as session:
        assert joins.options(connection=session).delay().get() == "ran"
        with pytest.raises(TypeError, match="AsyncConnection or AsyncSession"):
            asyncio.run(joins.options(connection=session).delay_async())
    with pytest.raises(TypeError, match="Connection or Session of SQLAlchemy"):
        joins.options(connection=object()).delay()  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient` is deprecated")
def test_the_api_runs_what_it_accepts(jobs: RecordedJobs) -> None:
    from starlette.testclient import TestClient  # which warns when it is imported

    @task("eager.adds")
    def adds(x: int, y: int = 1) -> int:
        if x < 0:
            raise ValueError("too small")
        return x + y

    with TestClient(create_app(), client=("127.0.0.1", 50_000), base_url="http://localhost") as client:
        accepted = client.post("/v1/tasks/eager.adds/jobs", json={"x": 2}, headers={"Prefer": "wait=5"})
        assert (accepted.status_code, accepted.json()["result"]) == (200, 3)
        refused = client.post("/v1/tasks/eager.adds/jobs", json={"x": "two"})
        assert refused.status_code == 422
        bulk = client.post("/v1/tasks/eager.adds/jobs/bulk", json=[{"x": n} for n in range(-1, 20)])
        assert bulk.status_code == 202
        dead = client.get("/v1/dead-letters").json()["jobs"]
        assert [job["failure"]["message"] for job in dead] == ["too small"]
        assert set(client.get("/readyz").json()["checks"].values()) == {"ok"}
        again = client.post(f"/v1/jobs/{dead[0]['id']}/replay", json={"payload": {"x": 1}})
        assert again.status_code in (200, 202)
        assert client.get(f"/v1/jobs/{dead[0]['id']}").json()["result"] == 2
    assert len(jobs.all("eager.adds")) == 22


def test_apply_runs_a_job_here_and_leaves_the_ledger_alone() -> None:
    @task("eager.applied", autoretry_for=(OSError,), max_retries=1)
    def applied(then: str = "return") -> str:
        if then == "raise":
            raise OSError("its own")
        assert current_job().is_eager
        return current_job().job_id

    handle = applied.apply()
    assert (handle.get(), handle.successful()) == (handle.id, True)
    failed = applied.apply(("raise",))
    assert (failed.failed(), failed.job.failures) == (True, 2)
    with pytest.raises(JobFailedError, match="its own"):
        failed.get()
    with pytest.raises(OSError, match="its own"):
        applied.apply(kwargs={"then": "raise"}, throw=True)
    assert "OSError: its own" in (failed.traceback or "")
    named = applied.apply(task_id="of-the-caller", headers={"a": 1})
    assert (named.id, named.job.external_id, named.state) == ("of-the-caller", "of-the-caller", "SUCCESS")
    with pytest.raises(TypeError, match="too many positional arguments"):
        applied.apply((1, 2))
    with eager() as jobs:
        applied.apply()
        assert jobs.all() == []
