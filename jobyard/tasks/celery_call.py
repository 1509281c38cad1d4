"""What Celery's options of a call mean here; those that cannot be kept say so, with the way out."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

import structlog

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import CallRefusedError
from jobyard.settings.queues import our_queue_name
from jobyard.tasks.celery_priority import priority_of
from jobyard.tasks.option_hint import option_hint
from jobyard.tasks.options import JobOptions

log = structlog.get_logger()

# Options that are Jobyard's own, or Celery's with the same meaning.
_AS_THEY_ARE: Final = (
    *("delay", "run_at", "expires_in", "max_attempts", "unique_key", "tags", "external_id"),
    *("headers", "time_limit", "soft_time_limit"),
)
_KNOWN: Final = (
    *_AS_THEY_ARE,
    *("countdown", "eta", "expires", "queue", "priority", "task_id", "idempotency_key"),
)
_BY_THE_KEEPER: Final = "the ledger has the job, and the keeper sends its message for as long as it takes"
_BY_RETENTION: Final = "results are kept for as long as JOBYARD_LEDGER__RETENTION says"
_IN_THE_LEDGER: Final = "the job's row has it, with the real one"
_IGNORED: Final[Mapping[str, str]] = {
    "retry": _BY_THE_KEEPER,
    "retry_policy": _BY_THE_KEEPER,
    "producer": _BY_THE_KEEPER,
    "publisher": _BY_THE_KEEPER,
    "router": _BY_THE_KEEPER,
    "mandatory": _BY_THE_KEEPER,
    "immediate": _BY_THE_KEEPER,
    "delivery_mode": _BY_THE_KEEPER,
    "compression": "a message names jobs, and their payloads are in the ledger",
    "ignore_result": _BY_RETENTION,
    "result_cls": "every call returns a JobHandle, which is jobyard.AsyncResult",
    "shadow": "a job is shown under its task's name",
    "add_to_parent": "a job that is handed in by a job always names that one as its parent",
    "root_id": _IN_THE_LEDGER,
    "parent_id": _IN_THE_LEDGER,
    "correlation_id": _IN_THE_LEDGER,
    "argsrepr": _IN_THE_LEDGER,
    "kwargsrepr": _IN_THE_LEDGER,
}
_LATER: Final = (
    "comes with workflows, and is not there yet: let the task hand in the next job at its end "
    "(next_task.delay(...)), or wait for the result in the program that hands in both"
)
_ONE_QUEUE: Final = "is not there: a job goes to one queue, which queue= names; for all workers use "
_STAMPS: Final = "is not there: give the job headers={...}, which self.request.headers has"
_REFUSED: Final[Mapping[str, str]] = {
    "link": _LATER,
    "link_error": _LATER,
    "chain": _LATER,
    "chord": _LATER,
    "group_id": _LATER,
    "group_index": _LATER,
    "exchange": f"{_ONE_QUEUE}app.control.broadcast",
    "exchange_type": f"{_ONE_QUEUE}app.control.broadcast",
    "routing_key": f"{_ONE_QUEUE}app.control.broadcast",
    "reply_to": "is not there: the result is in the ledger, for AsyncResult(id).get() and GET /v1/jobs/{id}",
    "stamped_headers": _STAMPS,
    "stamps": _STAMPS,
}
_JSON_ONLY: Final = (
    "a payload is JSON here: annotate the parameter with a dataclass or a pydantic model, and leave "
    "serializer out"
)
# An expiry that is past: the job is accepted, and ends as expired without an attempt.
_AT_ONCE: Final = timedelta.resolution


class CeleryCall(NamedTuple):
    """A call in Celery's words: the job's options, its idempotency key, and the caller's transaction."""

    options: JobOptions
    idempotency_key: str | None
    connection: Any


def celery_call(options: Mapping[str, Any], *, priority_needs_setting: bool = False) -> CeleryCall:
    """Read the options of `apply_async` or `send_task`.

    Raises `CallRefusedError` for what cannot be kept, `TypeError` for an option that there is not, and
    pydantic's `ValidationError` for a wrong value. What means nothing here is logged once for each process.
    `priority_needs_setting` is as in `jobyard/tasks/celery_priority.py`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    known: dict[str, Any] = {name: given.pop(name) for name in _AS_THEY_ARE if name in given}
    known |= _times(given)
    if "queue" in given:
        queue = given.pop("queue")
        known["queue"] = our_queue_name(str(getattr(queue, "name", queue)))
    if "task_id" in given:
        known.setdefault("external_id", given.pop("task_id"))
    if "priority" in given:
        known["priority"] = priority_of(given.pop("priority"), needs_setting=priority_needs_setting)
    key, connection = given.pop("idempotency_key", None), given.pop("connection", None)
    _check_rest(given, known.get("queue"))
    if _is_of_a_broker(connection):
        _say_ignored("connection", _BY_THE_KEEPER)
        connection = None
    return CeleryCall(JobOptions(**known), key, connection)


def celery_arguments(args: Any, kwargs: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the arguments of a call as Celery takes them; raises `TypeError` for anything else."""
    if not isinstance(args or (), (list, tuple)):
        raise TypeError(f"args must be a list or a tuple of the positional arguments, not {args!r:.100}")
    if not isinstance(kwargs or {}, Mapping):
        raise TypeError(f"kwargs must be a mapping of the arguments by name, not {kwargs!r:.100}")
    return args or (), kwargs or {}


def _times(given: dict[str, Any]) -> dict[str, Any]:
    times: dict[str, Any] = {}
    countdown, eta = given.pop("countdown", None), given.pop("eta", None)
    if countdown and eta is not None:
        raise CallRefusedError("countdown and eta both say when to start: give one of them")
    if eta is not None:
        times["run_at"] = _moment("eta", eta)
    elif countdown is not None:
        times["delay"] = max(_seconds("countdown", countdown), timedelta(0))
    if "expires" in given:
        times["expires_in"] = _time_left(given.pop("expires"))
    return times


def _time_left(expires: Any) -> timedelta:
    if isinstance(expires, (datetime, str)):
        left = _moment("expires", expires) - utc_now()
    else:
        left = _seconds("expires", expires)
    return max(left, _AT_ONCE)


def _moment(option: str, value: Any) -> datetime:
    # As Celery reads them: a date and time, or its ISO 8601 text; without a zone it is UTC.
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = value
    if not isinstance(moment, datetime):
        raise TypeError(f"{option} must be a datetime, not {value!r:.100}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(option: str, value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(seconds=value)
    except TypeError:
        raise TypeError(f"{option} must be a number of seconds, not {value!r:.100}") from None
    except (OverflowError, ValueError):
        raise ValueError(f"{option} is {value!r}, which is no time to wait") from None


def _check_rest(given: Mapping[str, Any], queue: str | None) -> None:
    for option, value in given.items():
        if option == "serializer":
            if value != "json":
                raise CallRefusedError(f"serializer={value!r}: {_JSON_ONLY}")
        elif option in _REFUSED:
            is_the_queue = option in ("exchange", "routing_key") and value in ("", queue)
            if value and not is_the_queue:
                raise CallRefusedError(f"{option}= {_REFUSED[option]}")
        elif option in _IGNORED:
            _say_ignored(option, _IGNORED[option])
        else:
            raise TypeError(f"there is no option {option!r} of a call; {option_hint(option, _KNOWN)}")


def _is_of_a_broker(connection: object) -> bool:
    return type(connection).__module__.partition(".")[0] in ("kombu", "amqp", "redis")


@cache
def _say_ignored(option: str, why: str) -> None:
    log.warning("an option of a call means nothing here", option=option, reason=why)
