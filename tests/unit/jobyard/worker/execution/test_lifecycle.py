"""Celery's signals and hooks around a job, compared with what Celery itself calls for the same task."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import celery
import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery, signals
from celery.app.task import Context
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Retry
from obstore.store import LocalStore

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import Discard, RetryLater
from jobyard.jobs.files.claim_checks import ClaimChecks
from jobyard.jobs.job import ClaimedJob, Failed, Succeeded, new_id
from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload
from jobyard.tasks.task import Task
from jobyard.worker.execution.attempt import attempt, attempt_async, outcome_of_failure
from jobyard.worker.execution.interruptions import AttemptStopped, TimeLimitExceeded
from jobyard.worker.execution.lifecycle import SILENT, lifecycle_of, report_abandoned
from jobyard.worker.execution.reported_lifecycle import SENTRY

SIGNALS = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry")
Calls = list[tuple[str, dict[str, Any]]]
_names = (f"test.reported_{number}" for number in count())


class Order(Payload):
    number: int = 0


class HiccupError(Exception):
    pass


@pytest.fixture
def heard() -> Iterator[Calls]:
    with hearing() as calls:
        yield calls


@contextmanager
def hearing() -> Iterator[Calls]:
    """Record every signal about tasks, and the hooks of `Hooks`, in their order."""
    calls: Calls = []
    with ExitStack() as stack:
        for name in SIGNALS:
            signal: Any = getattr(signals, name)

            def receive(_name: str = name, signal: Any = None, **arguments: Any) -> None:
                calls.append((_name, arguments))

            signal.connect(receive, weak=False)
            stack.callback(signal.disconnect, receive)
        Hooks.calls = calls
        yield calls


class Hooks:
    """The hooks of a base class, each with the names of its parameters."""

    calls: ClassVar[Calls] = []

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.calls.append(("before_start", {"task_id": task_id, "args": args, "kwargs": kwargs}))

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.calls.append(("on_success", {"retval": retval, "task_id": task_id}))

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.calls.append(("on_failure", {"exc": exc, "task_id": task_id, "einfo": einfo}))

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.calls.append(("on_retry", {"exc": exc, "task_id": task_id, "einfo": einfo}))

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        self.calls.append(("after_return", {"status": status, "retval": retval, "einfo": einfo}))


class HookedTask(Hooks, Task[..., Any]):
    pass


class HookedCeleryTask(Hooks, celery.Task):  # type: ignore[type-arg]
    pass


def hooked(
    deed: Callable[[], Any], base: type[Task[..., Any]] = HookedTask, **options: Any
) -> Task[..., Any]:
    def do(number: int) -> Any:
        return deed()

    declare: Any = task(next(_names), base=base, **options)
    made: Task[..., Any] = declare(do)
    return made


def claimed(of: Task[..., Any], failures: int = 0) -> ClaimedJob:
    return ClaimedJob(new_id(), of.name, '{"number":7}', failures + 1, failures, 3, 0, utc_now())


def returned() -> Any:
    return 42


def raised() -> Any:
    raise HiccupError("no")


def asked_again() -> Any:
    assert celery.current_task
    try:
        return raised()
    except HiccupError as error:
        raise celery.current_task.retry(exc=error, countdown=1) from error


def asked_again_without_reason() -> Any:
    assert celery.current_task
    raise celery.current_task.retry(countdown=1)


def celery_calls(deed: Callable[[], Any], **options: Any) -> Calls:
    """Return what Celery's own tracer calls for such a task."""
    app = Celery("plain", set_as_current=False, backend="disabled://")

    def do(number: int) -> Any:
        return deed()

    make: Any = app.task(name="plain.do", base=HookedCeleryTask, shared=False, **options)
    plain = make(do)
    plain.apply_async = lambda *_, **__: None
    plain.signature_from_request = lambda *_, **__: plain
    build: Any = build_tracer
    trace = build("plain.do", plain, app=app)
    with hearing() as calls:
        trace(new_id(), [7], {}, {"id": "plain", "hostname": "here"})
    return calls


def form(calls: Calls) -> list[tuple[str, dict[str, type]]]:
    """Return the calls with the type of each argument, and without which task it was."""
    return [
        (name, {key: kind_of(value) for key, value in arguments.items() if key not in ("sender", "task")})
        for name, arguments in calls
    ]


def kind_of(value: object) -> type:
    # Ours are derived from Celery's.
    return next((kind for kind in (Context, Retry) if isinstance(value, kind)), type(value))


@pytest.mark.parametrize(
    ("deed", "options"),
    [
        (returned, {}),
        (raised, {}),
        (raised, {"autoretry_for": (HiccupError,)}),
        (asked_again, {}),
        (asked_again, {"max_retries": 0}),
        (asked_again_without_reason, {}),
    ],
    ids=["succeeds", "fails", "is retried", "asks for a retry", "asks in vain", "gives no reason"],
)
def test_a_job_is_reported_with_the_arguments_and_in_the_order_of_celery(
    deed: Callable[[], Any], options: dict[str, Any], heard: Calls
) -> None:
    expected = celery_calls(deed, **options)
    with hearing() as calls:
        do = hooked(deed, **options)
        most = do.definition.policy.max_attempts
        attempt(do.definition, claimed(do)._replace(max_attempts=most))
    assert form(calls) == form(expected)
    assert len(calls) >= 4


def test_receivers_get_the_job_its_arguments_and_the_real_exception(heard: Calls) -> None:
    error = HiccupError("no")

    def fail() -> Any:
        raise error

    do = hooked(fail)
    job = claimed(do)
    attempt(do.definition, job)
    arguments = dict(heard)
    assert arguments["task_prerun"]["task"] is do
    assert arguments["task_prerun"]["task_id"] == job.id
    assert arguments["task_prerun"]["args"] == [7]
    assert arguments["task_failure"]["exception"] is error
    assert arguments["task_failure"]["sender"] is do
    info = arguments["task_failure"]["einfo"]
    assert isinstance(info, ExceptionInfo)
    assert "raise error" in str(info.traceback)
    assert arguments["task_postrun"]["state"] == "FAILURE"
    assert arguments["task_postrun"]["retval"] is error


def test_the_request_is_the_jobs_while_a_receiver_or_a_hook_is_called() -> None:
    seen = []

    class Looking(Task[..., Any]):
        def on_success(self, *_: Any) -> None:
            seen.append((self.request.id, self.request.retries, self.request.called_directly))

    do = hooked(returned, Looking)
    job = claimed(do, failures=2)
    attempt(do.definition, job)
    assert seen == [(job.id, 2, False)]
    assert do.request.id is None


def test_the_callers_own_id_and_headers_are_those_of_the_request(heard: Calls) -> None:
    seen = []

    class Looking(Task[..., Any]):
        def after_return(self, *_: Any) -> None:
            seen.append((self.request.headers, self.request.get("traceparent")))

    do = hooked(returned, Looking)
    attempt(do.definition, claimed(do)._replace(external_id="order 7", headers='{"traceparent":"00-1"}'))
    assert dict(heard)["task_prerun"]["task_id"] == "order 7"
    assert seen == [({"traceparent": "00-1"}, "00-1")]


def test_a_retry_is_reported_with_its_reason_and_not_as_a_failure(heard: Calls) -> None:
    def later() -> Any:
        raise RetryLater(timedelta(seconds=5), "busy")

    do = hooked(later)
    attempt(do.definition, claimed(do))
    names = [name for name, _ in heard]
    assert names == ["task_prerun", "before_start", "on_retry", "task_retry", "task_postrun"]
    reason = dict(heard)["task_retry"]["reason"]
    assert isinstance(reason, Retry)
    assert "busy" in str(reason)
    assert dict(heard)["task_retry"]["request"].id


def test_a_discarded_job_is_a_failed_one(heard: Calls) -> None:
    def discard() -> Any:
        raise Discard("no such customer")

    do = hooked(discard)
    attempt(do.definition, claimed(do))
    assert "task_failure" in dict(heard)


@pytest.mark.parametrize("wrong", [RuntimeError("a bug"), SystemExit(3)])
@pytest.mark.parametrize("deed", [returned, raised])
def test_what_a_receiver_raises_changes_no_outcome(wrong: BaseException, deed: Callable[[], Any]) -> None:
    def receive(**_: Any) -> None:
        raise wrong

    class Failing(Task[..., Any]):
        def on_success(self, *_: Any) -> None:
            raise wrong

        on_failure: Any = on_success
        after_return: Any = on_success

    do = hooked(deed, Failing)
    with ExitStack() as stack:
        for name in SIGNALS:
            signal: Any = getattr(signals, name)
            signal.connect(receive, weak=False)
            stack.callback(signal.disconnect, receive)
        outcome = attempt(do.definition, claimed(do))
    if deed is returned:
        assert isinstance(outcome, Succeeded)
    else:
        assert isinstance(outcome, Failed)
        assert outcome.failure.type == "HiccupError"


def test_what_before_start_raises_fails_the_attempt_as_in_celery(heard: Calls) -> None:
    class Refusing(Task[..., Any]):
        def before_start(self, *_: Any) -> None:
            raise HiccupError("not today")

    do = hooked(returned, Refusing)
    outcome = attempt(do.definition, claimed(do))
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "not today"
    assert [name for name, _ in heard] == ["task_prerun", "task_failure", "task_postrun"]


def test_coroutines_are_reported_each_with_its_own_job(heard: Calls) -> None:
    @task(next(_names))
    async def do(order: Order) -> int:
        await asyncio.sleep(0.01)
        if order.number % 2:
            raise HiccupError(str(order.number))
        return order.number

    jobs = [claimed(do)._replace(payload=f'{{"number":{number}}}') for number in range(4)]

    async def run() -> None:
        await asyncio.gather(*(attempt_async(do.definition, job, lambda: None) for job in jobs))

    asyncio.run(run())
    for number, job in enumerate(jobs):
        own = [name for name, arguments in heard if arguments.get("task_id") == job.id]
        assert own == ["task_prerun", *(["task_failure"] if number % 2 else []), "task_postrun"]
    assert sorted(arguments["result"] for name, arguments in heard if name == "task_success") == [0, 2]


def test_an_attempt_that_is_stopped_only_says_that_it_is_over(heard: Calls) -> None:
    def stopped() -> Any:
        raise AttemptStopped("the worker stops")

    do = hooked(stopped)
    with pytest.raises(AttemptStopped):
        attempt(do.definition, claimed(do))
    assert [name for name, _ in heard] == ["task_prerun", "before_start", "task_postrun"]
    assert dict(heard)["task_postrun"]["state"] is None


def test_an_ignored_job_is_told_to_task_postrun_alone(heard: Calls) -> None:
    do = hooked(returned)
    lifecycle = lifecycle_of(do.definition, claimed(do), do.payload(7))
    lifecycle.begin()
    lifecycle.ignored(Ignore())
    lifecycle.end()
    assert [name for name, _ in heard] == ["task_prerun", "before_start", "task_postrun"]


def test_without_receivers_and_hooks_nothing_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, SENTRY, raising=False)

    @task(next(_names))
    def do(order: Order) -> int:
        return 1

    assert lifecycle_of(do.definition, claimed(do), Order()) is SILENT


def test_a_retry_that_was_asked_for_is_reported_even_where_the_function_goes_on(heard: Calls) -> None:
    def goes_on() -> Any:
        assert celery.current_task
        celery.current_task.retry(exc=HiccupError("later"), throw=False)
        raise Ignore

    do = hooked(goes_on)
    outcome = attempt(do.definition, claimed(do))
    assert isinstance(outcome, Failed)
    assert outcome.retry_in is not None
    assert [name for name, _ in heard] == [
        *("task_prerun", "before_start", "on_retry", "task_retry", "task_postrun")
    ]


def test_hooks_and_receivers_find_the_one_request_of_the_attempt(heard: Calls) -> None:
    found = []

    class Asking(HookedTask):
        def before_start(self, *_: Any) -> None:
            found.append(self.request)

        def on_success(self, *_: Any) -> None:
            found.append(self.request)

    def ask() -> Any:
        assert celery.current_task
        found.append(celery.current_task.request)

    do = hooked(ask, Asking)
    attempt(do.definition, job := claimed(do))
    assert len(found) == 3
    assert all(request is found[0] for request in found)
    assert found[0].id == job.id


def test_an_abandoned_attempt_whose_payload_was_stored_apart_is_reported_too(
    heard: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @task(next(_names))
    def do(order: Order) -> None: ...

    checks = ClaimChecks(lambda: LocalStore(prefix=tmp_path), 1)
    monkeypatch.setattr("jobyard.worker.execution.stored_payload.get_claim_checks", lambda: checks)
    job = claimed(do)
    stored = job._replace(payload=checks.check_in(job.id, "payload", job.payload))
    error = TimeLimitExceeded(1, 2)
    report_abandoned(do.definition, stored, error, outcome_of_failure(do.definition, stored, error))
    [failure] = [arguments for name, arguments in heard if name == "task_failure"]
    assert (failure["task_id"], failure["args"]) == (job.id, [Order(number=7)])
    assert failure["exception"] is error
