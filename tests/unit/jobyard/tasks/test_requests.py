"""`task.request`, `current_task` and the attributes of tasks, as in Celery; here without a ledger."""

import asyncio
import threading
from typing import Any

import celery
import pytest
from celery._state import get_current_worker_task

from jobyard import Task, TaskDeclarationError, current_job, current_task, task
from jobyard.broker.celery_app import app
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import ClaimedJob, Succeeded, new_id
from jobyard.worker.execution.attempt import attempt, attempt_async

pytestmark = pytest.mark.usefixtures("tasks_are_forgotten")


def claimed(made: Task[..., Any], *args: Any, failures: int = 0, **kwargs: Any) -> ClaimedJob:
    payload = made.definition.dump(made.payload(*args, **kwargs))
    return ClaimedJob(new_id(), made.name, payload, failures + 1, failures, 4, 0, utc_now())


def run(made: Task[..., Any], job: ClaimedJob) -> Any:
    outcome = attempt(made.definition, job)
    assert isinstance(outcome, Succeeded), outcome
    return outcome


seen: dict[str, Any] = {}


def test_the_request_is_that_of_the_job() -> None:
    @task("test.asking", bind=True)
    def do(self: Any, x: int, /, y: int, *rest: int, z: int = 0) -> None:
        seen.update(vars(self.request), same=self.request is self.request is do.request)

    job = claimed(do, 1, 2, 3, z=4, failures=2)
    run(do, job)
    expected = {
        "id": job.id,
        "task": "test.asking",
        "correlation_id": job.id,
        "retries": 2,
        "args": [1, 2, 3],
        "kwargs": {"z": 4},
        "called_directly": False,
        "is_eager": False,
        "same": True,
    }
    assert {name: seen[name] for name in expected} == expected


def test_what_came_with_the_call_is_in_the_request() -> None:
    @task("test.with_call", bind=True)
    def do(self: Any) -> None:
        seen.update(vars(self.request))

    run(do, claimed(do)._replace(external_id="mine", headers='{"tenant":7,"_row":1,"id":2}', time_limit=9.0))
    assert (seen["id"], seen["correlation_id"]) == ("mine", "mine")
    assert (seen["headers"], seen["tenant"], "_row" in seen) == ({"tenant": 7, "_row": 1, "id": 2}, 7, False)
    assert (seen["timelimit"], seen["time_limit"], seen["soft_time_limit"]) == ([9.0, None], 9.0, None)


def test_a_task_of_one_model_has_it_as_its_argument() -> None:
    from jobyard import Payload

    class Order(Payload):
        number: int

    @task("test.asking_model", bind=True)
    def do(self: Any, order: Order) -> None:
        assert (self.request.args, self.request.kwargs) == ([order], {})

    run(do, claimed(do, Order(number=1)))


def test_what_celery_has_and_a_job_has_not_is_as_celery_has_it_by_default() -> None:
    @task("test.asking_more", bind=True)
    def do(self: Any) -> None:
        request = self.request
        assert (request.group, request.chord, request.reply_to, request.children) == (None, None, None, [])
        assert request.get("unheard_of", 7) == 7

    run(do, claimed(do))


def test_a_direct_call_has_a_request_of_its_own_and_the_job_keeps_its_own() -> None:
    @task("test.inner", bind=True)
    def inner(self: Any, x: int) -> Any:
        assert (self.request.called_directly, self.request.id) == (True, None)
        assert (self.request.args, self.request.kwargs) == ((1,), {})
        assert current_task.name == "test.inner"
        of_worker = get_current_worker_task()
        assert of_worker
        return of_worker.name

    @task("test.outer", bind=True)
    def outer(self: Any) -> None:
        assert inner.request.id is None
        assert inner(1) == "test.outer"
        assert self.request.id == current_job().job_id
        assert current_task.name == "test.outer"

    run(outer, claimed(outer))


def test_a_task_that_calls_itself_is_called_directly_within() -> None:
    @task("test.recursive", bind=True)
    def do(self: Any, depth: int) -> int:
        assert self.request.called_directly is (depth != 2)
        return 0 if depth == 0 else 1 + int(do(depth - 1))

    assert run(do, claimed(do, 2)).result == "2"


def test_an_overridden_call_is_the_jobs_own() -> None:
    class Counted(Task[..., Any]):
        abstract = True
        calls = 0

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().__call__(*args, **kwargs)

    @task("test.with_a_call", bind=True, base=Counted)
    def do(self: Any, again: bool) -> bool:
        if again:
            assert do(False) is True
        return bool(self.request.called_directly)

    assert run(do, claimed(do, True)).result == "false"
    assert do.calls == 2  # type: ignore[attr-defined]


def test_outside_of_everything_the_request_is_empty() -> None:
    @task("test.idle", bind=True)
    def do(self: Any) -> bool:
        return bool(self.request.called_directly)

    assert (do.request.id, do.request.retries, do.request.called_directly) == (None, 0, True)
    assert do() is True
    assert not current_task
    assert not celery.current_task


def test_a_pushed_request_is_found_as_in_celery() -> None:
    @task("test.pushed", bind=True)
    def do(self: Any) -> Any:
        return self.request.id

    do.push_request(id="mine")
    try:
        assert do.run() == "mine"
    finally:
        do.pop_request()


def test_coroutines_that_take_turns_have_their_own() -> None:
    @task("test.taking_turns", bind=True)
    async def do(self: Any, name: str) -> list[str]:
        before = self.request.id
        await asyncio.sleep(0.01)
        assert before == self.request.id == current_job().job_id
        assert celery.current_task
        assert celery.current_task.name == current_task.name == "test.taking_turns"
        return [str(self.request.id), *self.request.args]

    jobs = [claimed(do, name) for name in "abc"]

    async def together() -> list[Any]:
        return await asyncio.gather(*(attempt_async(do.definition, job, lambda: None) for job in jobs))

    outcomes = asyncio.run(together())
    assert [outcome.result for outcome in outcomes] == [
        f'["{job.id}","{name}"]' for job, name in zip(jobs, "abc", strict=True)
    ]


def test_threads_have_their_own() -> None:
    met = threading.Barrier(2, timeout=10)

    @task("test.meeting", bind=True)
    def do(self: Any) -> str:
        met.wait()
        assert celery.current_task
        assert celery.current_task.request.id == self.request.id
        return str(self.request.id)

    jobs = [claimed(do), claimed(do)]
    outcomes: list[Any] = []
    threads = [threading.Thread(target=lambda job=job: outcomes.append(run(do, job))) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {outcome.result for outcome in outcomes} == {f'"{job.id}"' for job in jobs}


class WithOptions(Task[..., Any]):
    """A base class as Celery programs have it."""

    abstract = True
    autoretry_for = (OSError,)
    max_retries: int | None = 7
    retry_backoff = 5
    default_retry_delay = 11
    queue = "email"
    priority = 8
    acks_late = False
    soft_time_limit = 20
    time_limit = 30
    throws = (ValueError,)
    database = "default"


def test_a_base_class_has_options_for_its_tasks() -> None:
    @task("test.of_base", base=WithOptions, priority=2)
    def do() -> None: ...

    declaration = do.definition.declaration
    assert (declaration.queue, declaration.priority) == ("email", 2)
    assert (declaration.time_limit, declaration.soft_time_limit) == (30, 20)
    policy = declaration.policy
    assert (policy.autoretry_for, policy.max_retries, policy.retry_backoff) == ((OSError,), 7, 5)


def test_the_classes_of_a_base_say_it_in_their_order() -> None:
    class Hasty(WithOptions):
        max_retries = None
        default_retry_delay = 1

    @task("test.of_hasty", base=Hasty)
    def do() -> None: ...

    policy = do.definition.policy
    assert (policy.max_retries, policy.default_retry_delay, policy.retry_backoff) == (None, 1, 5)


def test_attributes_can_be_read() -> None:
    @task("test.attributes", bind=True, base=WithOptions, max_retries=2)
    def do(self: Any) -> list[Any]:
        return [
            self.name,
            self.max_retries,
            self.default_retry_delay,
            self.queue,
            self.priority,
            self.database,
        ]

    assert do() == ["test.attributes", 2, 11, "email", 8, "default"]
    assert app.tasks["test.attributes"].max_retries == 2


def test_what_would_change_how_messages_are_treated_stays_ours() -> None:
    @task("test.messages", base=WithOptions)
    def do() -> None: ...

    assert do.acks_late is app.conf.task_acks_late
    assert do.soft_time_limit is None
    assert do.throws == (*Task.throws, ValueError)


def test_an_option_that_a_base_has_as_an_attribute_is_the_tasks_own() -> None:
    @task("test.own_attribute", base=WithOptions, database="archive")
    def do() -> None: ...

    @task("test.without_own", base=WithOptions)
    def other() -> None: ...

    assert (do.database, other.database) == ("archive", "default")  # type: ignore[attr-defined]


def test_an_option_that_a_base_has_not_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(TaskDeclarationError, match="no option 'max_retry'; did you mean 'max_retries'"):
        task("test.misspelt", base=WithOptions, max_retry=3)


def test_what_a_base_says_is_refused_as_an_option_is() -> None:
    class Limited(Task[..., Any]):
        abstract = True
        rate_limit = "10/m"

    with pytest.raises(TaskDeclarationError, match="rate_limit counts for one worker"):
        task("test.limited", base=Limited)(lambda: None)


def test_a_hook_may_be_given_as_an_option() -> None:
    def on_failure(self: Any, *args: Any) -> None: ...

    @task("test.with_hook", on_failure=on_failure)  # type: ignore[call-overload, untyped-decorator]
    def do() -> None: ...

    assert do.on_failure.__func__ is on_failure
