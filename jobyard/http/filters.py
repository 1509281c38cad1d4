"""What narrows a list of jobs, in a query or a body. In a query a payload's field is `payload.PATH=VALUE`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from jobyard.http.cursors import Cursor
from jobyard.http.errors import wrong_option
from jobyard.jobs.errors import QueueNotFoundError
from jobyard.jobs.job import Cause, Status
from jobyard.jobs.reading.search import JobFilter
from jobyard.tasks.options import QueueName, Tag
from jobyard.tasks.queues import check_queue

PAYLOAD_PREFIX: Final = "payload."
_PATH: Final = r"^[^.\x00]+(\.[^.\x00]+)*$"
MOST_CONDITIONS: Final = 10

Name = Annotated[str, Field(max_length=200, pattern=r"^[\x21-\x7e]+$")]
Words = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Path = Annotated[str, Field(max_length=200, pattern=_PATH)]
Value = Annotated[str, Field(max_length=500)]


def _declared(queue: str) -> str:
    try:
        check_queue(queue)
    except QueueNotFoundError as error:
        raise ValueError(str(error)) from None
    return queue


class FilterQuery(BaseModel):
    """What narrows a list of jobs."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # `check_query` refuses what is unknown

    task: Name | None = None
    queue: Annotated[QueueName, AfterValidator(_declared)] | None = None
    tag: Tag | None = None
    cause: Cause | None = Field(None, description="Why the last attempt did not succeed.")
    error: Name | None = Field(None, description="The class of the last failure: `ValueError`.")
    text: Words | None = Field(None, description="A part of the last failure's words, in any case.")
    worker: Words | None = Field(None, description="The worker that had it last, with or without `/PID`.")
    parent: UUID | None = Field(None, description="The job that handed it in.")
    since: AwareDatetime | None = Field(None, description="Accepted at this time or later.")
    until: AwareDatetime | None = Field(None, description="Accepted before this time.")


class BodyFilter(FilterQuery):
    """What narrows a list of jobs, the fields of their payloads included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payload: dict[Path, Value] = Field(
        default_factory=dict,
        max_length=MOST_CONDITIONS,
        description="Fields by their path (`to`, `options.size`) and what they must be, as text.",
    )


class StatusQuery(FilterQuery):
    """What narrows a list of jobs of any status."""

    status: tuple[Status, ...] = ()


class Part(BaseModel):
    """Which part of a list is wanted."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=500)


class ListQuery(StatusQuery, Part):
    """What narrows a list, and which part of it is wanted."""


def as_filter(query: FilterQuery, *status: Status, payload: Mapping[str, str] | None = None) -> JobFilter:
    narrowing: dict[str, Any] = {name: getattr(query, name) for name in FilterQuery.model_fields}
    narrowing["parent"] = str(query.parent) if query.parent else None
    return JobFilter(status=status, payload=payload or {}, **narrowing)


async def payload_conditions(request: Request) -> dict[str, str]:
    """Return the `payload.PATH=VALUE` options of a query; raises a 422 `Problem` that names a wrong one."""
    given = {name: value for name, value in request.query_params.items() if name.startswith(PAYLOAD_PREFIX)}
    for name, value in given.items():
        if len(name) > 200 or not re.fullmatch(_PATH, name.removeprefix(PAYLOAD_PREFIX)):
            raise wrong_option(name[:200], "names no field: write payload.to, or payload.options.size")
        if len(value) > 500:
            raise wrong_option(name, "is longer than 500 characters")
    if len(given) > MOST_CONDITIONS:
        raise wrong_option(PAYLOAD_PREFIX, f"there are more than {MOST_CONDITIONS} conditions")
    return {name.removeprefix(PAYLOAD_PREFIX): value for name, value in given.items()}


PayloadConditions = Annotated[dict[str, str], Depends(payload_conditions)]

# For the OpenAPI document, which cannot know every field of every payload.
PAYLOAD_PARAMETER: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "payload.PATH",
            "in": "query",
            "required": False,
            "schema": {"type": "string", "maxLength": 500},
            "description": "What a field of the payload must be, as text: `payload.to=ada@example.org`, "
            "`payload.options.size=5`. One element of a list is enough.",
        }
    ]
}
