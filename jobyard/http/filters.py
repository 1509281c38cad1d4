"""Filters for lists of jobs, in a query or a body; a query filters a payload with `payload.PATH=VALUE`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from jobyard.http.cursors import Cursor
from jobyard.http.errors import wrong_option
from jobyard.jobs.errors import QueueNotFoundError
from jobyard.jobs.job import Cause, Status
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.tasks.declaration import LONGEST_NAME
from jobyard.tasks.options import ExternalId, Moment, QueueName, Tag
from jobyard.tasks.queues import check_queue

PAYLOAD_PREFIX: Final = "payload."
_PATH: Final = r"^[^.\x00]+(\.[^.\x00]+)*$"
PAYLOAD_OPTION: Final = re.compile(r"^payload(\.[^.\x00]+)+$")
MOST_CONDITIONS: Final = 10

Name = Annotated[str, Field(max_length=200, pattern=r"^[\x21-\x7e]+$")]
TaskName = Annotated[str, Field(max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")]
SearchText = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Path = Annotated[str, Field(max_length=200, pattern=_PATH)]
Value = Annotated[str, Field(max_length=500)]


def _conditions_schema(names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"pattern": names, "maxLength": 200},
        "additionalProperties": {"type": "string", "maxLength": 500},
        "maxProperties": MOST_CONDITIONS,
    }


def _check_declared(queue: str) -> str:
    try:
        check_queue(queue)
    except QueueNotFoundError as error:
        raise ValueError(str(error)) from None
    return queue


class FilterQuery(BaseModel):
    """A filter for a list of jobs."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # `check_query` refuses what is unknown

    task: TaskName | None = None
    queue: Annotated[QueueName, AfterValidator(_check_declared)] | None = None
    tag: Tag | None = None
    cause: Cause | None = Field(None, description="Why the last attempt did not succeed.")
    error: Name | None = Field(None, description="The class of the last failure: `ValueError`.")
    text: SearchText | None = Field(None, description="A part of the last failure's message, in any case.")
    worker: SearchText | None = Field(
        None, description="The worker that last ran it, with or without `/PID`."
    )
    parent: UUID | None = Field(None, description="The job that submitted it.")
    external_id: ExternalId | None = Field(None, description="The caller's own id for it.")
    since: Moment | None = Field(None, description="Accepted at this time or later.")
    until: Moment | None = Field(None, description="Accepted before this time.")
    ended_since: Moment | None = Field(None, description="Ended at this time or later.")
    ended_until: Moment | None = Field(None, description="Ended before this time.")


class BodyFilter(FilterQuery):
    """A filter for a list of jobs, with conditions on the fields of their payloads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payload: Annotated[dict[Path, Value], WithJsonSchema(_conditions_schema(_PATH))] = Field(
        default_factory=dict,
        max_length=MOST_CONDITIONS,
        description="The required value, as text, of each field by its path (`to`, `options.size`). Numbers "
        "are compared as numbers: `1` is also 1.0.",
    )


class StatusQuery(FilterQuery):
    """A filter for a list of jobs of any status."""

    status: tuple[Status, ...] = ()


class PageQuery(BaseModel):
    """Which page of a list to return."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=500)


class ListQuery(StatusQuery, PageQuery):
    """A filter for a list of jobs, and which page of it to return."""


def as_filter(query: FilterQuery, *status: Status, payload: Mapping[str, str] | None = None) -> JobFilter:
    conditions: dict[str, Any] = {name: getattr(query, name) for name in FilterQuery.model_fields}
    conditions["parent"] = str(query.parent) if query.parent else None
    return JobFilter(status=tuple(dict.fromkeys(status)), payload=payload or {}, **conditions)


async def payload_conditions(request: Request) -> dict[str, str]:
    """Return the `payload.PATH=VALUE` options of a query; raises a 422 `Problem` that names a wrong one."""
    given = {name: value for name, value in request.query_params.items() if name.startswith(PAYLOAD_PREFIX)}
    for name, value in given.items():
        if len(name) > 200 or not PAYLOAD_OPTION.fullmatch(name):
            raise wrong_option(name[:200], "does not name a field: write payload.to, or payload.options.size")
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
            "name": "payload",
            "in": "query",
            "required": False,
            # In this style the object's own names are those of the options.
            "style": "form",
            "explode": True,
            "schema": _conditions_schema(PAYLOAD_OPTION.pattern),
            "description": "Values of fields of the payload, as text: `payload.to=ada@example.org`, "
            "`payload.options.size=5`. Numbers are compared as numbers: `5` is also 5.0. For a list, one "
            "matching element is enough.",
        }
    ]
}
