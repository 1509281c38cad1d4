"""The options of a job besides its payload, for Python and for HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypedDict

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import MOST_HEADER_BYTES, HeaderValue
from jobyard.jobs.retry import LONGEST_DELAY
from jobyard.settings.durations import Duration, DurationOrZero
from jobyard.settings.queues import HIGHEST_PRIORITY, LONGEST_NAME, LOWEST_PRIORITY
from jobyard.tasks.call_headers import HeadersText

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def _is_written_out(moment: object) -> object:
    # Pydantic takes a number for seconds since 1970, and a large one for milliseconds.
    try:
        float(moment)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return moment
    raise ValueError("must be a date and a time with its zone: 2030-01-31T12:00:00Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_is_written_out)]


def _no_earlier(moment: datetime) -> datetime:
    # A past time means now, however early. Some dates of the year 1 do not exist in UTC, and a ledger that
    # holds one can no longer list its jobs.
    return max(moment, EARLIEST)


Key = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
ExternalId = Annotated[
    str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f,]+$")]


QueueName = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9_.-]+$")
]


class Options(TypedDict, total=False):
    """The keyword arguments of `submit`: the fields of `JobOptions`."""

    queue: str | None
    priority: int | None
    delay: timedelta | None
    run_at: datetime | None
    expires_in: timedelta | None
    max_attempts: int | None
    unique_key: str | None
    tags: Sequence[str]
    external_id: str | None
    headers: Mapping[str, HeaderValue] | None
    time_limit: timedelta | float | None
    soft_time_limit: timedelta | float | None


class JobOptions(BaseModel):
    """When, where and how often a job may run; an omitted option is the task's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    queue: QueueName | None = Field(None, description="A declared queue; default: the task's own.")
    priority: int | None = Field(
        None, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY, description="0 to 9; 9 is first."
    )
    delay: DurationOrZero | None = Field(
        None, description="Start no earlier than after this time: seconds, or ISO 8601 (PT5M)."
    )
    run_at: Annotated[Moment, AfterValidator(_no_earlier)] | None = Field(
        None, description="Start no earlier than this time, with its zone; a past time means now."
    )
    expires_in: Duration | None = Field(
        None,
        description="Begin no attempt, neither the first nor a retry, later than this long after acceptance.",
    )
    max_attempts: int | None = Field(None, ge=1, le=100, description="Attempts in all, the first included.")
    unique_key: Key | None = Field(
        None, description="While a job of this task with this key has not ended, that job is returned."
    )
    tags: tuple[Tag, ...] = Field((), alias="tag", max_length=20, description="Words to find the job by.")
    external_id: ExternalId | None = Field(
        None,
        description="The caller's own id for the job, by which it is found as by its own; a second job with "
        "it is the first one, whatever its payload.",
    )
    # Its own name in a query, because generated clients have a variable `headers` for those of HTTP.
    headers: HeadersText | None = Field(
        None,
        alias="job_headers",
        description="For the task, besides the payload: a JSON object of strings, numbers and booleans, "
        f"with at most {MOST_HEADER_BYTES} bytes.",
    )
    time_limit: Duration | None = Field(
        None,
        description="The longest that an attempt may take, instead of the task's own limit: seconds, or ISO "
        "8601. Without a soft limit, an attempt is interrupted at this one, and given up soon after.",
    )
    soft_time_limit: Duration | None = Field(
        None, description="When an attempt is interrupted, so that it can clean up; below the time limit."
    )

    # A rule about two fields validates the later of them, so that an error names that field.

    @field_validator("delay", "expires_in", "time_limit", "soft_time_limit")
    @classmethod
    def _is_not_too_long(cls, duration: timedelta | None) -> timedelta | None:
        if duration is not None and duration > LONGEST_DELAY:
            raise ValueError(f"is more than {LONGEST_DELAY.days} days")
        return duration

    @field_validator("soft_time_limit")
    @classmethod
    def _is_below_the_hard_limit(cls, soft: timedelta | None, info: ValidationInfo) -> timedelta | None:
        hard = info.data.get("time_limit")
        if soft is not None and hard is not None and soft >= hard:
            raise ValueError("must be shorter than time_limit")
        return soft

    @field_validator("run_at")
    @classmethod
    def _is_the_only_start(cls, run_at: datetime | None, info: ValidationInfo) -> datetime | None:
        if run_at is not None and info.data.get("delay") is not None:
            raise ValueError("delay and run_at both say when to start: give one of them")
        if run_at is not None and run_at - utc_now() > LONGEST_DELAY:
            raise ValueError(f"is more than {LONGEST_DELAY.days} days away")
        return run_at

    @field_validator("expires_in")
    @classmethod
    def _ends_after_the_start(cls, expires_in: timedelta | None, info: ValidationInfo) -> timedelta | None:
        run_at = info.data.get("run_at")
        starts_in = info.data.get("delay") or (run_at - utc_now() if run_at else timedelta(0))
        if expires_in is not None and expires_in <= starts_in:
            raise ValueError("ends before the job may start")
        return expires_in

    def updated(self, own: "JobOptions") -> "JobOptions":
        """Return these options with those that `own` was given in their place; raises `ValidationError`."""
        given = {name: getattr(options, name) for options in (self, own) for name in options.model_fields_set}
        return JobOptions(**given)


@dataclass(frozen=True, slots=True)
class PayloadWithOptions:
    """A payload that has options of its own among others: what `task.options(...).payload(...)` returns."""

    payload: BaseModel
    options: JobOptions
    idempotency_key: str | None = None
