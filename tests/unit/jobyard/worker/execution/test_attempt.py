"""One attempt: what a task does, and what becomes of the job."""

import asyncio
import math
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from obstore.store import LocalStore
from pydantic import BaseModel, ConfigDict

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import Discard, RetryLater
from jobyard.jobs.files.claim_checks import ClaimChecks
from jobyard.jobs.job import Cause, ClaimedJob, Failed, Outcome, PutOff, Succeeded, new_id
from jobyard.tasks.context import current_job
from jobyard.tasks.declare import task
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.payload import Payload
from jobyard.worker.execution.attempt import attempt


class Order(Payload):
    number: int = 0


class HiccupError(Exception):
    pass


_names = (f"test.doing_{number}" for number in count())


def doing(deed: object) -> AnyDefinition:
    """A task that raises or returns what it is given."""

    @task(next(_names), autoretry_for=(HiccupError,), max_retries=2, retry_backoff=4, retry_jitter=False)
    def do(order: Order) -> int:
        if isinstance(deed, BaseException):
            raise deed
        return deed  # type: ignore[return-value]

    return do.definition


def claimed(payload: str = "{}", failures: int = 0) -> ClaimedJob:
    return ClaimedJob(new_id(), "test.doing", payload, failures + 1, failures, 3, 0, utc_now())


def failed(deed: object, failures: int = 0) -> Failed:
    outcome = attempt(doing(deed), claimed(failures=failures))
    assert isinstance(outcome, Failed)
    return outcome


def test_what_the_task_returns_is_the_result() -> None:
    job = claimed()
    assert attempt(doing(42), job) == Succeeded(job.id, 1, "42")


def test_a_failure_of_the_declared_kind_is_tried_again_with_its_backoff() -> None:
    assert failed(HiccupError("no")).retry_in == timedelta(seconds=4)
    assert failed(HiccupError("no"), failures=1).retry_in == timedelta(seconds=8)


def test_the_last_attempt_is_the_last() -> None:
    assert failed(HiccupError("no"), failures=2).retry_in is None


def test_a_retry_that_would_come_too_late_is_none() -> None:
    @task(next(_names), autoretry_for=(HiccupError,), retry_backoff=60, retry_jitter=False, max_age=30)
    def do(order: Order) -> None:
        raise HiccupError("no")

    outcome = attempt(do.definition, claimed())
    assert isinstance(outcome, Failed)
    assert outcome.retry_in is None
    assert "older than 30 s" in outcome.failure.message


def test_any_other_failure_is_final_with_its_traceback() -> None:
    outcome = failed(ValueError("as ordered"))
    assert outcome.retry_in is None
    failure = outcome.failure
    assert (failure.cause, failure.type, failure.message) == (Cause.EXCEPTION, "ValueError", "as ordered")
    assert failure.traceback is not None
    assert "raise deed" in failure.traceback


@pytest.mark.parametrize(
    ("raised", "cause"),
    [
        (MemoryError(), Cause.OUT_OF_MEMORY),
        (SoftTimeLimitExceeded(), Cause.TIME_LIMIT),
        (SystemExit(3), Cause.EXCEPTION),
        (asyncio.CancelledError(), Cause.EXCEPTION),
        (Discard("never"), Cause.DISCARDED),
    ],
)
def test_what_would_end_a_worker_is_a_failed_attempt(raised: BaseException, cause: Cause) -> None:
    assert failed(raised).failure.cause is cause


def test_a_discarded_job_is_not_tried_again_where_every_exception_is_worth_it() -> None:
    class NoSuchCustomerError(Discard):
        pass

    @task(next(_names), autoretry_for=(Exception,), max_retries=5)
    def do(order: Order) -> None:
        raise NoSuchCustomerError("no such customer")

    outcome = attempt(do.definition, claimed())
    assert isinstance(outcome, Failed)
    assert (outcome.retry_in, outcome.failure.cause) == (None, Cause.DISCARDED)


def test_a_task_may_ask_to_be_tried_later() -> None:
    outcome = failed(RetryLater(timedelta(minutes=7), "busy"))
    assert (outcome.retry_in, outcome.counts) == (timedelta(minutes=7), True)
    assert outcome.failure.traceback is None


def test_a_task_that_asks_without_a_delay_waits_as_after_any_failure() -> None:
    assert failed(RetryLater(None, "busy"), failures=1).retry_in == timedelta(seconds=8)


@pytest.mark.parametrize("failures", [0, 2])
def test_what_a_task_has_done_is_kept_with_its_failure_also_with_the_last_one(failures: int) -> None:
    outcome = failed(RetryLater(None, "half", progress={"sent": ["a"]}), failures=failures)
    assert outcome.progress == '{"sent":["a"]}'
    assert (outcome.retry_in is None) == (failures == 2)


def test_a_job_that_is_put_off_uses_up_no_attempt() -> None:
    outcome = failed(RetryLater(timedelta(0), "not my turn", counts=False), failures=2)
    assert (outcome.retry_in, outcome.counts) == (timedelta(0), False)


def test_a_result_of_the_wrong_type_is_refused() -> None:
    assert failed("not a number").failure.cause is Cause.RESULT_REFUSED


def test_a_stored_payload_that_does_not_fit_this_version_is_left_to_another() -> None:
    outcome = attempt(doing(1), claimed('{"number": "many"}'))
    assert isinstance(outcome, PutOff)
    assert outcome.failure.cause is Cause.INVALID_PAYLOAD
    assert "number" in outcome.failure.message


def test_words_are_kept_storable_and_short() -> None:
    message = failed(ValueError("a\x00b" + "x" * 100_000)).failure.message
    assert "\x00" not in message
    assert len(message) < 11_000


def test_the_job_is_known_inside_the_task_and_nowhere_else() -> None:
    seen: list[tuple[str, int]] = []

    @task(next(_names))
    def look(order: Order) -> None:
        job = current_job()
        seen.append((job.job_id, job.attempt))

    job = claimed()
    attempt(look.definition, job)
    assert seen == [(job.id, 1)]
    with pytest.raises(LookupError):
        current_job()


def test_a_coroutine_is_run_to_its_end() -> None:
    @task(next(_names))
    async def wait(order: Order) -> str:
        await asyncio.sleep(0)
        return "awaited"

    outcome = attempt(wait.definition, claimed())
    assert isinstance(outcome, Succeeded)
    assert outcome.result == '"awaited"'


class Reading(BaseModel):
    celsius: float | None = None
    others: tuple[Any, ...] = ()


class Infinite(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    number: float = math.inf


class InWords(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    number: float = math.inf
    note: str | None = None


def attempt_returning(returned: Any, kind: Any) -> Outcome:
    @task(next(_names))
    def do(_: Order) -> kind:
        return returned

    return attempt(do.definition, claimed())


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda number: number, float),
        (lambda number: number, float | None),
        (lambda number: [1.0, number], list[float]),
        (lambda number: {"a": None, "b": [{"c": number}]}, dict[str, Any]),
        (lambda number: Reading(celsius=number), Any),
        (lambda number: Reading(others=(None, number)), Reading),
        (lambda number: Infinite(number=number), Infinite),
    ],
)
def test_a_result_that_json_cannot_hold_is_refused(number: float, make: Any, kind: Any) -> None:
    outcome = attempt_returning(make(number), kind)
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.RESULT_REFUSED
    assert "NaN" in outcome.failure.message


@pytest.mark.parametrize("kind", [int, Any, dict[str, Any]])
def test_a_number_that_no_page_could_show_is_refused(kind: Any) -> None:
    outcome = attempt_returning({"n": 10**5000} if kind == dict[str, Any] else 10**5000, kind)
    assert isinstance(outcome, Failed)
    assert outcome.failure.cause is Cause.RESULT_REFUSED
    assert "huge number" in outcome.failure.message


@pytest.mark.parametrize(
    ("returned", "kind", "text"),
    [
        (None, float | None, "null"),
        (Reading(others=(None, 1.5)), Reading, '{"celsius":null,"others":[null,1.5]}'),
        (InWords(), InWords, '{"number":"Infinity","note":null}'),
        (["null", "NaN"], list[str], '["null","NaN"]'),
        (10**4000, int, str(10**4000)),
    ],
)
def test_what_json_can_hold_is_kept_as_it_is(returned: Any, kind: Any, text: str) -> None:
    outcome = attempt_returning(returned, kind)
    assert isinstance(outcome, Succeeded), outcome
    assert outcome.result == text


def test_a_payload_that_cannot_be_fetched_now_puts_the_job_off_and_uses_no_attempt_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checks = ClaimChecks(lambda: LocalStore(prefix=tmp_path), 1024)
    monkeypatch.setattr("jobyard.worker.execution.stored_payload.get_claim_checks", lambda: checks)
    (tmp_path / "checks").write_text("no folder")
    outcome = attempt(doing(1), claimed("@payload", failures=2))
    assert isinstance(outcome, Failed)
    assert (outcome.counts, outcome.failure.cause) == (False, Cause.RETRY_LATER)
    assert outcome.retry_in is not None
    assert outcome.retry_in >= timedelta(seconds=10)
    (tmp_path / "checks").unlink()
    outcome = attempt(doing(1), claimed("@payload"))
    assert isinstance(outcome, Failed)
    assert (outcome.retry_in, outcome.failure.cause) == (None, Cause.INVALID_PAYLOAD)
