"""The error for a job that ended without a result: of the task's own class where that is known here."""

import copy
import pickle

import celery.exceptions
import pytest

from jobyard.jobs.job import Cause, Failure, Status
from jobyard.tasks.result_errors import JobFailedError, failed_error

DIED = Status.DEAD


class OwnError(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(code, detail)


class Final(Exception):  # noqa: N818
    def __init_subclass__(cls) -> None:
        raise TypeError("nothing is derived from this")


def failed(kind: str, module: str | None = "builtins") -> Failure:
    return Failure(Cause.EXCEPTION, kind, "as ordered", "the traceback", module)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (failed("ValueError"), ValueError),
        (failed("ValueError", module=None), ValueError),
        (failed("OSError"), OSError),
        (failed("UnicodeDecodeError"), UnicodeDecodeError),
        (failed("OwnError", module=__name__), OwnError),
        (failed("JSONDecodeError", module="json.decoder"), ValueError),
        (Failure(Cause.TIME_LIMIT, "SoftTimeLimitExceeded", "m"), celery.exceptions.SoftTimeLimitExceeded),
        (Failure(Cause.TIME_LIMIT, "TimeLimitExceeded", "m"), celery.exceptions.TimeLimitExceeded),
        (Failure(Cause.LOST_WORKER, "WorkerLost", "m"), celery.exceptions.WorkerLostError),
    ],
)
def test_the_class_of_an_exception_is_found(failure: Failure, kind: type[Exception]) -> None:
    error = failed_error("an-id", DIED, failure)
    assert isinstance(error, kind)
    assert (str(error), error.job_id, error.failure) == (failure.message, "an-id", failure)
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(same), same.job_id) == (type(error), "an-id")


@pytest.mark.parametrize(
    "failure",
    [
        failed("Final", module=__name__),
        failed("SystemExit"),
        failed("KeyboardInterrupt"),
        failed("StopIteration"),
        failed("print"),
        failed("str"),
        failed("OwnError.nothing", module=__name__),
        failed("ValidationError", module="pydantic_core._pydantic_core"),
        failed("JobFailedError", module="jobyard.tasks.result_errors"),
        None,
    ],
)
def test_what_must_not_or_cannot_be_raised_is_the_plain_error(failure: Failure | None) -> None:
    error = failed_error("an-id", DIED, failure)
    assert type(error) is JobFailedError
    assert "job an-id is dead" in str(error)


def test_a_handle_that_fails_in_a_task_is_known_by_the_first_ones_class() -> None:
    first = failed_error("an-id", DIED, failed("ValueError"))
    assert (type(first).__module__, type(first).__qualname__) == ("builtins", "ValueError")
