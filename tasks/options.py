"""What can be said about a job besides its payload, from Python and over HTTP alike."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from config.durations import Duration, DurationOrZero
from config.queues import HIGHEST_PRIORITY, LOWEST_PRIORITY, Queue
from jobs.clock import utc_now

FARTHEST = timedelta(days=366)

Key = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f,]+$")]


class JobOptions(BaseModel):
    """When, where and how often a job may run. What is left out is as the task says."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    queue: Queue | None = Field(None, description="The queue, where it is not the task's own.")
    priority: int | None = Field(
        None, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY, description="0 to 9; 9 is first."
    )
    delay: DurationOrZero | None = Field(None, description="Not before so long: seconds, or ISO 8601 (PT5M).")
    run_at: AwareDatetime | None = Field(
        None, description="Not before this time, with its zone; in the past means now."
    )
    expires_in: Duration | None = Field(
        None, description="Never started later than so long after acceptance."
    )
    max_attempts: int | None = Field(None, ge=1, le=100, description="Attempts in all, the first included.")
    unique_key: Key | None = Field(
        None, description="While a job of this task with this key is on its way, that job is returned."
    )
    tags: tuple[Tag, ...] = Field((), alias="tag", max_length=20, description="Words to find the job by.")

    @model_validator(mode="after")
    def _times_make_sense(self) -> Self:
        if self.delay is not None and self.run_at is not None:
            raise ValueError("delay and run_at both say when to start: give one of them")
        starts_in = self.delay or (self.run_at - utc_now() if self.run_at else timedelta(0))
        if starts_in > FARTHEST:
            raise ValueError(f"{'delay' if self.delay else 'run_at'} is more than {FARTHEST.days} days away")
        if self.expires_in is not None and self.expires_in > FARTHEST:
            raise ValueError(f"expires_in is more than {FARTHEST.days} days")
        if self.expires_in is not None and self.expires_in <= starts_in:
            raise ValueError("expires_in ends before the job may start")
        return self
