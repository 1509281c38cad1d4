"""What a job is: its id, its statuses and the legal moves between them, and the records about it.

The functions that move a job are in `jobyard/jobs/ledger/ledger.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from uuid_utils import uuid7

from jobyard.jobs.clock import utc_from_millis, utc_now
from jobyard.settings.queues import DEFAULT_PRIORITY, DEFAULT_QUEUE

HeaderValue = str | int | float | bool
# Of a call's headers together, as JSON; what is larger belongs into the payload.
MOST_HEADER_BYTES: Final = 4096


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562) as text; ids sort by the time they were made."""
    return str(uuid7())


def accepted_at(job_id: str) -> datetime:
    """Return the time at which a job was made, to the millisecond, from the beginning of its id."""
    return utc_from_millis(int(job_id[:8] + job_id[9:13], 16))


class Status(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL: Final = frozenset({Status.SUCCEEDED, Status.DEAD, Status.CANCELLED, Status.EXPIRED})
WAITING: Final = frozenset({Status.SCHEDULED, Status.QUEUED, Status.RETRYING})

MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.CANCELLED, Status.EXPIRED}),
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED, Status.EXPIRED, Status.DEAD}),
    Status.RUNNING: frozenset({Status.SUCCEEDED, Status.RETRYING, Status.QUEUED, Status.DEAD}),
    Status.RETRYING: frozenset({Status.QUEUED, Status.CANCELLED, Status.EXPIRED}),
    Status.DEAD: frozenset({Status.QUEUED, Status.CANCELLED}),
    Status.SUCCEEDED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}


class Cause(StrEnum):
    """Why an attempt did not succeed, or was never made."""

    EXCEPTION = "exception"
    DISCARDED = "discarded"
    RETRY_LATER = "retry_later"
    TIME_LIMIT = "time_limit"
    OUT_OF_MEMORY = "out_of_memory"
    INVALID_PAYLOAD = "invalid_payload"
    RESULT_REFUSED = "result_refused"
    LOST_WORKER = "lost_worker"
    UNKNOWN_TASK = "unknown_task"
    EXTERNAL_NO_ANSWER = "external_no_answer"  # of a stock Celery worker, within the deadline
    FOREIGN_MESSAGE = "foreign_message"  # a stock Celery message that no task can be called with


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in an attempt: the cause, and the exception's class, message and traceback.

    `module` is where the class was defined, if that is known.
    """

    cause: Cause
    type: str
    message: str
    traceback: str | None = None
    module: str | None = None


# The records that every job needs are named tuples: a frozen dataclass takes three times as long to make, and
# four times as long to send to another process.


class NewJob(NamedTuple):
    """A job as it is submitted; `payload` is JSON text that the task's model has accepted.

    `delay` counts from the ledger's clock; `run_at` is a date and takes precedence. The ledger accepts none
    of the jobs with the same `bulk` if one of them has an idempotency key that was used for another request.
    `parent` is the job that submits this one.
    `external_id` is the caller's own id for the job: a second job with it is the first one, whatever its
    payload. `headers` are the caller's, as JSON text. The limits are in seconds, and None means the task's.
    """

    id: str
    task: str
    payload: str
    max_attempts: int
    queue: str = DEFAULT_QUEUE.name
    priority: int = DEFAULT_PRIORITY
    delay: timedelta = timedelta(0)
    run_at: datetime | None = None
    expires_in: timedelta | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    parent: str | None = None
    bulk: str | None = None
    external_id: str | None = None
    headers: str | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None

    def copy_with_payload(self, payload: str) -> "NewJob":
        """Return a new job, with an id of its own, that has the same options and another payload."""
        return NewJob._make((new_id(), self.task, payload, *self[FIRST_OPTION:]))

    @property
    def is_due(self) -> bool:
        """Tell whether the job may start now, by this machine's clock."""
        return self.delay <= timedelta(0) and (self.run_at is None or self.run_at <= utc_now())

    @property
    def has_call_fields(self) -> bool:
        """Tell whether the job has an external id, headers or limits of its own, which most jobs have not."""
        return self[FIRST_CALL_FIELD:] != _NO_CALL_FIELDS


FIRST_OPTION: Final = NewJob._fields.index(
    "max_attempts"
)  # from there on, the options that come with a payload
FIRST_CALL_FIELD: Final = NewJob._fields.index("external_id")
_NO_CALL_FIELDS: Final = (None,) * len(NewJob._fields[FIRST_CALL_FIELD:])


class QueuedJob(NamedTuple):
    """The part of a waiting job that its message needs; a job with `lost` above 0 gets a message alone.

    `time_limit` is the job's own hard limit in seconds, or None where the task's applies.
    """

    id: str
    task: str
    queue: str
    priority: int
    lost: int = 0
    time_limit: float | None = None


class Verdict(StrEnum):
    """How the ledger answers a job that is submitted."""

    NEW = "new"
    REPEATED = "repeated"  # the key and the request, or the external id, are known: the answer is that job
    DUPLICATE = "duplicate"  # a job with that unique key has not ended yet: the answer is that job
    CONFLICT = "conflict"  # the idempotency key is known with another request: nothing is accepted


class Acceptance(NamedTuple):
    """The answer to one `NewJob`: the id of the accepted job, and whether it is new."""

    job_id: str
    verdict: Verdict


class ClaimedJob(NamedTuple):
    """A job that this worker holds; `attempt` is the fencing token of every later write.

    `headers` is JSON text. Limits are in seconds, and None means the task's.
    """

    id: str
    task: str
    payload: str
    attempt: int
    failures: int
    max_attempts: int
    lost: int
    created_at: datetime
    external_id: str | None = None
    headers: str | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The end of an attempt that returned; `result` is JSON text, or None where none is to be kept."""

    job_id: str
    attempt: int
    result: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of an attempt that failed; the job is retried after `retry_in`, or dead where that is None.

    `counts` is false for a job that was only put off; `is_lost` is true if its process ended with it.
    `progress` is what the attempt has done, as JSON text, for the next one.
    """

    job_id: str
    attempt: int
    failure: Failure
    retry_in: timedelta | None
    counts: bool = True
    is_lost: bool = False
    progress: str | None = None


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The end of an attempt that its worker gave up: the job is queued again, and nothing is counted."""

    job_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The end of an attempt that never began: the job is queued again as if it had not been claimed."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class PutOff:
    """The end of an attempt that never began, because the job is of another version of the code.

    The job waits in its queue, with this failure, for a worker that knows its task and can read its payload;
    without one it is dead after `KEEPER__UNKNOWN_FOR`.
    """

    job_id: str
    attempt: int
    failure: Failure


Outcome = Succeeded | Failed | HandedBack | NotStarted | PutOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job with all its columns in the ledger.

    `external_id` and `headers` are the caller's. The limits, in seconds, are the job's own where it has some.
    """

    id: str
    task: str
    queue: str
    priority: int
    status: Status
    payload: str
    result: str | None
    failure: Failure | None
    attempt: int
    failures: int
    max_attempts: int
    lost: int
    replays: int
    worker: str | None
    run_at: datetime
    expires_at: datetime | None
    lease_until: datetime | None
    published_at: datetime | None
    publish_count: int
    idempotency_key: str | None
    unique_key: str | None
    parent: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    external_id: str | None = None
    headers: Mapping[str, HeaderValue] | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    tags: tuple[str, ...] = ()


class ReportedState(NamedTuple):
    """What an attempt says of itself: a word of the task's own, and JSON text.

    `attempt` is None for the attempt that runs.
    """

    job_id: str
    attempt: int | None
    state: str | None
    meta: str


class InterventionKind(StrEnum):
    """What a person can do to a job: cancel one that waits, replay or discard one that is dead."""

    CANCELLED = "cancelled"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a person did to a job, when and why; `difference` lists what changed in the payload.

    `actor` is as in `jobyard/jobs/actors.py`, and None for what was done before 0009.
    """

    kind: InterventionKind
    at: datetime
    actor: str | None
    reason: str | None
    difference: list[dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that did not succeed."""

    attempt: int
    failure: Failure
    worker: str | None
    started_at: datetime | None
    ended_at: datetime
