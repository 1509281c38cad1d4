"""A handle: a job by either id, in Celery's words, and the errors that `.get()` raises."""

import asyncio
from datetime import timedelta
from typing import Any

import celery.exceptions
import pytest

from jobyard import AsyncResult, CallRefusedError, IllegalMoveError, JobHandle, JobNotFoundError
from jobyard.jobs.errors import JobPrunedError
from jobyard.jobs.job import Cause, Failed, Failure, ReportedState, Status, Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.reported_states import write_reported_states
from jobyard.tasks.context import JobContext, running
from jobyard.tasks.declare import task
from jobyard.tasks.registry import unregister
from jobyard.tasks.result_errors import JobFailedError
from tests.support.ledger_jobs import accepted, claimed, ended_ago, prune_all

pytestmark = pytest.mark.usefixtures("the_ledger")


@pytest.fixture
def the_ledger(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr("jobyard.tasks.handle.get_ledger", lambda: own_ledger)
    return own_ledger


def failed(kind: str, message: str = "as ordered", module: str | None = "builtins") -> Failure:
    return Failure(Cause.EXCEPTION, kind, message, "the traceback", module)


def dead_by(ledger: Ledger, failure: Failure) -> str:
    job_id, attempt = claimed(ledger)
    ledger.settle([Failed(job_id, attempt, failure, retry_in=None)])
    return job_id


def succeeded(ledger: Ledger, result: str, task: str = "elsewhere.done", **fields: Any) -> str:
    job_id, attempt = claimed(ledger, task=task, **fields)
    ledger.settle([Succeeded(job_id, attempt, result)])
    return job_id


def test_the_class_has_two_names() -> None:
    assert AsyncResult is JobHandle


def test_a_job_in_a_ledger_of_its_own_is_looked_up_there_while_it_runs(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _ = claimed(own_ledger)
    monkeypatch.setattr("jobyard.tasks.handle.get_ledger", pytest.fail)
    handle = AsyncResult[Any](job_id, database=own_ledger.database)
    assert handle.state == "STARTED"
    assert handle.result.keys() == {"pid", "hostname"}


def test_every_status_has_celerys_word(own_ledger: Ledger) -> None:
    retrying, attempt = claimed(own_ledger)
    own_ledger.settle([Failed(retrying, attempt, failed("ValueError"), retry_in=timedelta(hours=1))])
    own_ledger.cancel(cancelled := accepted(own_ledger))
    words = {
        accepted(own_ledger, delay=timedelta(hours=1)): "PENDING",
        accepted(own_ledger): "PENDING",
        claimed(own_ledger)[0]: "STARTED",
        retrying: "RETRY",
        succeeded(own_ledger, "1"): "SUCCESS",
        dead_by(own_ledger, failed("ValueError")): "FAILURE",
        cancelled: "REVOKED",
    }
    handles = [AsyncResult[Any](job_id) for job_id in words]
    assert [handle.state for handle in handles] == list(words.values())
    assert [handle.status for handle in handles] == list(words.values())
    assert [handle.ready() for handle in handles] == [False] * 4 + [True] * 3
    assert [handle.successful() for handle in handles] == [False] * 4 + [True] + [False] * 2
    assert [handle.failed() for handle in handles] == [False] * 5 + [True, False]
    assert handles[1].job.status is Status.QUEUED


def test_an_id_that_nobody_knows_is_pending_and_get_says_so() -> None:
    for unknown in (new_id(), "order-7"):
        handle = AsyncResult[Any](unknown)
        assert (handle.state, handle.ready(), handle.successful(), handle.failed()) == (
            *("PENDING", False),
            *(False, False),
        )
        assert (handle.result, handle.info, handle.traceback) == (None, None, None)
        assert (handle.parent, handle.children) == (None, [])
        for ask in (handle.get, handle.revoke, lambda handle=handle: handle.job):
            with pytest.raises(JobNotFoundError, match=unknown):
                ask()


def test_a_job_that_was_deleted_is_not_pending_for_ever(own_ledger: Ledger) -> None:
    job_id = ended_ago(own_ledger, timedelta(days=2))
    prune_all(own_ledger, "P1D")
    with pytest.raises(JobPrunedError):
        AsyncResult[Any](job_id).ready()


def test_a_handle_is_of_the_callers_id_and_compares_by_it(own_ledger: Ledger) -> None:
    own_id = succeeded(own_ledger, '"done"', external_id="order-7")
    handle = AsyncResult[str]("order-7")
    assert (handle.id, handle.task_id, str(handle), handle.job.id) == ("order-7",) * 3 + (own_id,)
    assert (handle.get(), handle.result, handle.info, handle.state) == ("done",) * 3 + ("SUCCESS",)
    assert handle == AsyncResult("order-7") != AsyncResult(own_id)
    assert len({handle, AsyncResult[str]("order-7")}) == 1
    assert AsyncResult(own_id, app=object(), task_name="bad.deed").get() == "done"


@pytest.mark.parametrize("wrong", [None, "", 7])
def test_a_handle_needs_an_id(wrong: Any) -> None:
    with pytest.raises(ValueError, match="needs the id of a job"):
        AsyncResult(wrong)


def test_a_result_comes_back_in_the_type_of_its_task_where_that_is_known(own_ledger: Ledger) -> None:
    @task(name="test.when")
    def when() -> timedelta:
        return timedelta(hours=1)

    job_id = succeeded(own_ledger, '"PT1H"', task="test.when")
    assert (AsyncResult(job_id).get(), when.AsyncResult(job_id).get()) == (timedelta(hours=1),) * 2
    unregister("test.when")
    assert AsyncResult(job_id).get() == "PT1H"


def test_get_raises_what_the_task_raised_with_its_words(own_ledger: Ledger) -> None:
    handle = AsyncResult[Any](dead_by(own_ledger, failed("ZeroDivisionError", "division by zero")))
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        handle.get()
    assert isinstance(caught.value, JobFailedError)
    assert (caught.value.job_id, caught.value.status) == (handle.id, Status.DEAD)
    assert (str(caught.value), type(caught.value).__name__) == ("division by zero", "ZeroDivisionError")
    assert caught.value.__notes__ == [f"job {handle.id} is dead"]
    for given in (handle.get(propagate=False), handle.result, handle.info):
        assert isinstance(given, ZeroDivisionError)
    assert handle.traceback == "the traceback"


def test_get_raises_the_plain_error_where_the_class_is_unknown(own_ledger: Ledger) -> None:
    job_id = dead_by(own_ledger, failed("Wrong", module="nobody.has.imported"))
    with pytest.raises(JobFailedError, match=rf"job {job_id} is dead: Wrong: as ordered") as caught:
        AsyncResult(job_id).get()
    assert type(caught.value) is JobFailedError


def test_a_job_that_is_to_be_retried_shows_why(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    own_ledger.settle([Failed(job_id, attempt, failed("KeyError"), retry_in=timedelta(hours=1))])
    assert isinstance(AsyncResult(job_id).result, KeyError)


def test_a_cancelled_job_is_celerys_revoked_one(own_ledger: Ledger) -> None:
    handle = AsyncResult[Any](accepted(own_ledger))
    handle.revoke(terminate=True, signal="SIGKILL")
    with pytest.raises(celery.exceptions.TaskRevokedError, match="is cancelled") as caught:
        handle.get()
    assert isinstance(caught.value, JobFailedError)
    handle.revoke()  # which has ended
    assert handle.job.status is Status.CANCELLED


def test_what_runs_cannot_be_revoked_yet_and_what_has_ended_stays(own_ledger: Ledger) -> None:
    with pytest.raises(IllegalMoveError, match=r"running, so it cannot be revoked.*only a job that waits"):
        AsyncResult(claimed(own_ledger, external_id="mine")[0]).revoke()
    handle = AsyncResult[int](succeeded(own_ledger, "1"))
    handle.revoke()
    assert handle.get() == 1


@pytest.mark.parametrize("seconds", [0, 0.05])
def test_a_time_out_is_pythons_and_celerys(own_ledger: Ledger, seconds: float) -> None:
    handle = AsyncResult[Any](accepted(own_ledger))
    for kind in (TimeoutError, celery.exceptions.TimeoutError):
        with pytest.raises(kind, match=f"is still queued after {seconds} s"):
            handle.get(timeout=seconds, interval=0.01)
        with pytest.raises(kind, match="is still queued"):
            asyncio.run(handle.get_async(timeout=seconds))


def test_a_coroutine_waits_for_a_result_and_for_its_error(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger, task="elsewhere.done")

    async def both() -> int:
        waiting = asyncio.create_task(AsyncResult[int](job_id).get_async(timeout=20))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(own_ledger.settle, [Succeeded(job_id, attempt, "7")])
        return await waiting

    assert asyncio.run(both()) == 7
    with pytest.raises(KeyError):
        asyncio.run(AsyncResult[int](dead_by(own_ledger, failed("KeyError"))).get_async())


def test_a_job_has_a_parent_and_children(own_ledger: Ledger) -> None:
    parent = accepted(own_ledger, external_id="the parent")
    children = [accepted(own_ledger, parent=parent) for _ in range(3)]
    handle = AsyncResult[Any]("the parent")
    assert [child.id for child in handle.children] == children
    assert handle.children[0].parent == AsyncResult(parent)
    assert handle.parent is None


def test_what_celery_has_besides_is_refused_with_the_way_out(own_ledger: Ledger) -> None:
    handle = AsyncResult[Any](accepted(own_ledger))
    with pytest.raises(CallRefusedError, match="JOBYARD_LEDGER__RETENTION"):
        handle.forget()
    for argument in ("callback", "on_message", "on_interval"):
        arguments: Any = {argument: print}
        with pytest.raises(CallRefusedError, match=rf"{argument}= is not there.*Prefer: wait"):
            handle.get(**arguments)


def test_what_celerys_result_has_by_another_name_says_where_it_is(own_ledger: Ledger) -> None:
    handle: Any = AsyncResult(succeeded(own_ledger, "1"))
    assert handle.wait(timeout=1) == 1
    for name, words in {
        "date_done": r"\.job\.finished_at",
        "collect": r"\.children",
        "then": r"get\(\)",
    }.items():
        with pytest.raises(AttributeError, match=f"has no attribute '{name}': .*{words}"):
            getattr(handle, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'$"):
        handle.nonsense()


def test_a_task_waits_for_no_job_and_may_read_one_that_has_ended(own_ledger: Ledger) -> None:
    done, waiting = succeeded(own_ledger, "1"), accepted(own_ledger)
    with running(JobContext(new_id(), 1)):
        assert AsyncResult(done).get() == 1
        with pytest.raises(RuntimeError, match="must not wait for another job"):
            AsyncResult(waiting).get()


def test_while_a_job_runs_its_state_is_its_own_word_or_who_runs_it(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger)
    [mine] = own_ledger.claim([job_id], "threads@host/123")
    handle = AsyncResult[Any](job_id)
    assert (handle.state, handle.info) == ("STARTED", {"pid": 123, "hostname": "threads@host"})
    for state, shown in (("PROGRESS", "PROGRESS"), ("FAILURE", "FAILURE"), (None, "STARTED")):
        write_reported_states(own_ledger.database, [ReportedState(job_id, mine.attempt, state, '{"n":1}')])
        assert (handle.state, handle.status, handle.info, handle.ready()) == (shown, shown, {"n": 1}, False)
    own_ledger.settle([Succeeded(job_id, mine.attempt, None)])
    assert (handle.state, handle.info, handle.get()) == ("SUCCESS", None, None)
