"""`self.retry`, and what of a declaration decides over retries: as in Celery."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import celery
import pytest
from celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry

from jobyard import CallRefusedError, Discard, RetryLater, Task, TaskDeclarationError, task
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Outcome, Succeeded, new_id
from jobyard.jobs.retry import LONGEST_DELAY, UNLIMITED_ATTEMPTS
from jobyard.worker.execution.attempt import attempt, attempt_async

pytestmark = pytest.mark.usefixtures("tasks_are_forgotten")


class BusyError(Exception):
    pass


def run(made: Task[..., Any], *args: Any, failures: int = 0, attempts: int = 0, **kwargs: Any) -> Outcome:
    """Run one attempt at a job of this call, after so many failures."""
    definition = made.definition
    payload = definition.dump(made.payload(*args, **kwargs))
    most = attempts or definition.policy.max_attempts
    job = ClaimedJob(new_id(), made.name, payload, failures + 1, failures, most, 0, utc_now())
    if definition.is_async:
        return asyncio.run(attempt_async(definition, job, lambda: None))
    return attempt(definition, job)


def failed(made: Task[..., Any], *args: Any, **options: Any) -> Failed:
    outcome = run(made, *args, **options)
    assert isinstance(outcome, Failed), outcome
    return outcome


def retrying(**how: Any) -> Task[..., Any]:
    @task("test.retrying", bind=True, **how.pop("declared", {}))
    def do(self: Any) -> str:
        raise self.retry(**how)

    return do


def test_a_retry_waits_as_long_as_the_call_says() -> None:
    assert failed(retrying(countdown=7)).retry_in == timedelta(seconds=7)


def test_a_retry_may_be_at_once() -> None:
    assert failed(retrying(countdown=0)).retry_in == timedelta(0)


def test_a_retry_waits_by_default_for_the_default_delay() -> None:
    assert failed(retrying(declared={"default_retry_delay": 33})).retry_in == timedelta(seconds=33)


@pytest.mark.parametrize("zone", [UTC, None])
def test_a_retry_may_be_at_a_date(zone: Any) -> None:
    in_an_hour = (utc_now() + timedelta(hours=1)).replace(tzinfo=zone)
    delay = failed(retrying(eta=in_an_hour)).retry_in
    assert delay is not None
    assert timedelta(minutes=59) < delay <= timedelta(hours=1)


def test_a_date_in_the_past_is_now() -> None:
    assert failed(retrying(eta=datetime(1999, 1, 1))).retry_in == timedelta(0)


def test_a_delay_has_a_longest() -> None:
    assert failed(retrying(countdown=10**12 / 1000)).retry_in == LONGEST_DELAY


def test_what_was_the_reason_stands_in_the_history() -> None:
    @task("test.with_reason", bind=True)
    def do(self: Any) -> None:
        try:
            raise BusyError("come back")
        except BusyError as error:
            raise self.retry(exc=error, countdown=1) from error

    failure = failed(do).failure
    assert (failure.cause, failure.type, failure.message) == (Cause.RETRY_LATER, "BusyError", "come back")
    assert "raise BusyError" in (failure.traceback or "")
    without = failed(retrying(countdown=1)).failure
    assert (without.type, without.message, without.traceback) == ("Retry", "Retry in 1s", None)


def test_retries_are_used_up_and_then_the_reason_is_raised() -> None:
    made = retrying(exc=BusyError("no"), countdown=1)
    assert failed(made, failures=2).retry_in is not None
    last = failed(made, failures=3)
    assert (last.retry_in, last.failure.type) == (None, "BusyError")


def test_without_a_reason_it_is_that_retries_are_used_up() -> None:
    last = failed(retrying(countdown=1), failures=3)
    assert (last.retry_in, last.failure.type) == (None, MaxRetriesExceededError.__name__)
    assert "Can't retry test.retrying" in last.failure.message


def test_a_call_may_allow_more_retries() -> None:
    assert failed(retrying(max_retries=10), failures=9).retry_in is not None


def test_a_call_may_allow_fewer_retries_and_an_automatic_retry_keeps_to_it() -> None:
    made = retrying(exc=BusyError(), max_retries=1, declared={"autoretry_for": (Exception,)})
    assert failed(made, failures=1).retry_in is None


def test_none_is_for_ever() -> None:
    made = retrying(countdown=1, declared={"max_retries": None})
    assert made.definition.policy.max_attempts == UNLIMITED_ATTEMPTS
    assert failed(made, failures=100_000).retry_in == timedelta(seconds=1)


def test_a_job_has_as_many_retries_as_it_was_given() -> None:
    assert failed(retrying(), failures=4, attempts=6).retry_in is not None


def test_a_job_that_was_given_fewer_keeps_to_them() -> None:
    assert failed(retrying(), failures=0, attempts=1).retry_in is None


def test_an_automatic_retry_swallows_no_retry_and_no_discard() -> None:
    made = retrying(countdown=9, declared={"autoretry_for": (Exception,), "retry_backoff": 600})
    assert failed(made).retry_in == timedelta(seconds=9)

    @task("test.discarding", autoretry_for=(Exception,))
    def discard() -> None:
        raise Discard("no such customer")

    assert failed(discard).retry_in is None


def test_what_is_excluded_is_not_retried() -> None:
    @task("test.excluded", autoretry_for=[OSError], dont_autoretry_for=[FileNotFoundError])
    def do(is_excluded: bool) -> None:
        raise FileNotFoundError if is_excluded else ConnectionError

    assert failed(do, True).retry_in is None
    assert failed(do, False).retry_in is not None


def test_automatic_retries_have_arguments_of_their_own() -> None:
    @task("test.automatic", autoretry_for=(OSError,), retry_kwargs={"max_retries": 5, "countdown": 3})
    def do() -> None:
        raise OSError

    assert do.definition.policy.max_attempts == 6
    assert failed(do, failures=4).retry_in == timedelta(seconds=3)
    assert failed(do, failures=5).retry_in is None


def test_retries_of_a_call_keep_to_the_tasks_own_number() -> None:
    automatic = {"autoretry_for": (OSError,), "retry_kwargs": {"max_retries": 5}}
    assert failed(retrying(countdown=1, declared=automatic), failures=3).retry_in is None


def test_a_retry_can_be_caught_as_celerys_and_raised_again() -> None:
    @task("test.careful", bind=True)
    def do(self: Any) -> None:
        try:
            self.retry(countdown=5)
        except Retry:
            raise
        except Exception:
            raise AssertionError("a Retry is none of the others") from None

    assert failed(do).retry_in == timedelta(seconds=5)


@pytest.mark.parametrize("ending", ["returns", "raises", "ignores"])
def test_a_retry_that_was_asked_for_counts_however_the_function_ends(ending: str) -> None:
    @task("test.swallowing", bind=True)
    def do(self: Any) -> str:
        asked = self.retry(countdown=5, throw=False)
        assert isinstance(asked, Retry)
        if ending == "raises":
            raise BusyError
        if ending == "ignores":
            raise Ignore
        return "done"

    assert failed(do).retry_in == timedelta(seconds=5)


def test_a_discard_counts_more_than_a_retry() -> None:
    @task("test.discarding_after_all", bind=True)
    def do(self: Any) -> None:
        self.retry(throw=False)
        raise Discard("after all")

    assert failed(do).failure.cause is Cause.DISCARDED


def test_called_directly_it_raises_the_reason() -> None:
    with pytest.raises(BusyError):
        retrying(exc=BusyError())()


def test_called_directly_without_a_reason_it_raises_celerys_retry() -> None:
    with pytest.raises(Retry, match="Task can be retried"):
        retrying()()


def test_called_directly_in_an_except_clause_it_raises_what_is_handled() -> None:
    @task("test.direct", bind=True)
    def do(self: Any) -> None:
        try:
            raise BusyError("first")
        except BusyError as error:
            raise self.retry(exc=error)  # noqa: B904 - as people write it

    with pytest.raises(BusyError, match="first"):
        do()


def test_in_a_coroutine_it_is_the_same() -> None:
    @task("test.coroutine", bind=True)
    async def do(self: Any) -> None:
        await asyncio.sleep(0)
        raise self.retry(countdown=4)

    assert failed(do).retry_in == timedelta(seconds=4)


@pytest.mark.parametrize(
    "same", [{"args": (1,)}, {"kwargs": {"x": 1}}, {"args": (1, 2)}, {"args": (), "kwargs": {"x": 1, "y": 2}}]
)
def test_its_own_arguments_may_be_said_again(same: dict[str, Any]) -> None:
    @task("test.same", bind=True)
    def do(self: Any, x: int, y: int) -> None:
        raise self.retry(**same, countdown=1)

    assert failed(do, 1, y=2).retry_in is not None


@pytest.mark.parametrize(
    "other", [{"args": (7,)}, {"kwargs": {"x": 7}}, {"kwargs": {"z": 1}}, {"args": (1, 2, 3)}]
)
def test_other_arguments_are_refused(other: dict[str, Any]) -> None:
    @task("test.other", bind=True)
    def do(self: Any, x: int, y: int) -> None:
        raise self.retry(**other, countdown=1)

    failure = failed(do, 1, 2)
    assert failure.retry_in is None
    assert "keeps the payload that it was accepted with" in failure.failure.message


def test_other_options_are_refused_and_harmless_ones_taken() -> None:
    assert failed(retrying(ignore_result=True, serializer="json")).retry_in is not None


def test_another_time_limit_is_refused() -> None:
    assert "retry(time_limit=...)" in failed(retrying(time_limit=3)).failure.message


def test_ignore_is_success_without_a_result_and_is_not_retried() -> None:
    @task("test.ignoring", autoretry_for=(Exception,))
    def do() -> int:
        raise Ignore

    outcome = run(do)
    assert isinstance(outcome, Succeeded)
    assert outcome.result is None


@pytest.mark.parametrize("requeue", [True, False])
def test_reject_is_refused_where_it_is_raised(requeue: bool) -> None:
    @task("test.rejecting", autoretry_for=(Exception,))
    def do() -> None:
        raise Reject("no", requeue=requeue)

    outcome = failed(do)
    assert outcome.retry_in is None
    assert "raise RetryLater(timedelta(...), 'why')" in outcome.failure.message


def test_retry_later_is_as_ever() -> None:
    @task("test.later")
    def do() -> None:
        raise RetryLater(timedelta(seconds=8), "busy", counts=False)

    outcome = failed(do, failures=3)
    assert (outcome.retry_in, outcome.counts) == (timedelta(seconds=8), False)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_retries": -1}, "max_retries must be 0 to 999,999, or None for ever"),
    ({"max_retries": "3"}, "max_retries must be 0 to 999,999, or None for ever"),
    ({"max_retries": 10**9}, "max_retries must be 0 to 999,999, or None for ever"),
    ({"retry_kwargs": {"queue": "x"}}, "retry_kwargs holds max_retries and countdown, and not 'queue'"),
    ({"retry_kwargs": {"countdown": -1}}, "countdown in retry_kwargs must be seconds"),
    ({"retry_kwargs": {"max_retries": "5"}}, "max_retries in retry_kwargs must be 0"),
    ({"dont_autoretry_for": ("OSError",)}, "dont_autoretry_for must hold exception classes"),
    ({"autoretry_for": (OSError,), "max_retries": 0}, "autoretry_for asks for retries"),
    ({"expires": 60}, "expires is said of a job"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG)
def test_a_wrong_declaration_says_what_is_wrong(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TaskDeclarationError, match=sentence):
        task("test.wrong", **options)(lambda: None)


CANVAS: list[Callable[[Task[..., Any]], Any]] = [
    lambda made: made.s()(),
    lambda made: made.s() | made.s(),
    lambda made: made.si().delay(),
    lambda made: made.signature(()).apply_async(),
    lambda made: made.subtask(())(),
    lambda made: celery.group([made.s()]).apply_async(),
    lambda made: repr(celery.group(made.s(), made.s())),
    lambda made: celery.chord([made.s()])(made.s()),
    lambda made: made.chunks([(1,)], 10),
    lambda made: made.map([1]),
    lambda made: made.starmap([(1,)]),
    lambda made: made.replace(None),
    lambda made: made.add_to_chord(None),
]


@pytest.mark.parametrize("call", CANVAS)
def test_what_waits_for_workflows_says_so(call: Callable[[Task[..., Any]], Any]) -> None:
    with pytest.raises(CallRefusedError, match=r"delay\(...\)|submit_many"):
        call(retrying())
