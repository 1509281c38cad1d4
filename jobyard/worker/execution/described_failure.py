"""What a failed attempt leaves in the ledger: the description of an exception, within bounds."""

import traceback
from typing import Final

from celery.exceptions import Reject, Retry, SoftTimeLimitExceeded

from jobyard.jobs.errors import (
    Discard,
    ExternalFailedError,
    ExternalNoAnswerError,
    ResultRefusedError,
    RetryLater,
)
from jobyard.jobs.job import Cause, ClaimedJob, Failure
from jobyard.settings.secrets import masked_text
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.retrying import REJECT, JobRetry
from jobyard.worker.execution.limits import limits_of

MAX_MESSAGE_LENGTH: Final = 10_000
MAX_TRACEBACK_LENGTH: Final = 50_000
MAX_TYPE_LENGTH: Final = 200
SOFT_LIMIT: Final = SoftTimeLimitExceeded.__qualname__
# The message says it all, and there is no traceback.
_EXPECTED: Final = (Cause.DISCARDED, Cause.RETRY_LATER, Cause.RESULT_REFUSED, Cause.EXTERNAL_NO_ANSWER)


def describe(task: AnyDefinition, job: ClaimedJob, error: BaseException) -> Failure:
    """Return what is recorded of an attempt that raised `error`: its cause, class, message and traceback."""
    cause = _cause(error)
    # A retry is described by what it was asked for.
    shown = error.exc if isinstance(error, JobRetry) and error.exc is not None else error
    kind = "Retry" if isinstance(shown, JobRetry) else type(shown).__qualname__
    is_limit = kind == SOFT_LIMIT
    message = f"stopped at its limit of {limits_of(task, job).soft} s" if is_limit else _message_of(shown)
    module = Retry.__module__ if isinstance(shown, JobRetry) else type(shown).__module__
    trace = None
    if isinstance(shown, ExternalFailedError):
        module, kind, trace = shown.module, shown.kind, shown.traceback
    elif shown is not error or cause not in _EXPECTED:
        trace = _traceback_of(shown)
    return Failure(
        cause,
        shorten(kind)[:MAX_TYPE_LENGTH],
        shorten(message),
        trace and shorten(trace, MAX_TRACEBACK_LENGTH),
        shorten(module)[:MAX_TYPE_LENGTH],
    )


def _message_of(error: BaseException) -> str:
    if isinstance(error, Reject):
        return REJECT
    try:
        return str(error) or type(error).__qualname__
    except Exception as str_error:  # the exception's own `__str__` may fail
        return f"an exception whose message cannot be read: {type(str_error).__qualname__}"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return "".join(traceback.format_tb(error.__traceback__))


def _cause(error: BaseException) -> Cause:
    match error:
        case Discard():
            return Cause.DISCARDED
        case RetryLater():
            return Cause.RETRY_LATER
        case ExternalNoAnswerError():
            return Cause.EXTERNAL_NO_ANSWER
        case ResultRefusedError():
            return Cause.RESULT_REFUSED
        case MemoryError():
            return Cause.OUT_OF_MEMORY
        case SoftTimeLimitExceeded():
            return Cause.TIME_LIMIT
    return Cause.EXCEPTION


def shorten(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    """Return text as every ledger can store it, with secrets masked, and cut at `limit` characters."""
    length = len(text)
    # No ledger stores lone surrogates (an undecodable file name has them), and PostgreSQL stores no NUL.
    # The text is masked at twice the kept length, because half of a secret would not be recognised.
    text = masked_text(text[: 2 * limit].replace("\x00", "�").encode(errors="replace").decode())
    return text if length <= limit else f"{text[:limit]}… ({length} characters in all)"
