"""What a search looks for, and the conditions that it adds to a query."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from jobyard.jobs.database.schema import job, tag
from jobyard.jobs.files.claim_checks import is_check
from jobyard.jobs.job import Cause, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to find; a field that is None or empty is no condition.

    `error` is the class of the last failure, and `text` a part of its message, in upper or lower case.
    `worker` is a worker's name, with or without the process. `since` and `until` limit the time of
    acceptance, `ended_since` and `ended_until` that of the end, each from the first to before the second.
    `payload` has the values of fields, as text, by path (`to`, `options.size`): `1` matches the text "1" and
    the numbers 1, 1.0 and 1e0. Of a list, one element has to match.
    """

    status: Collection[Status] = ()
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    cause: Cause | None = None
    error: str | None = None
    text: str | None = None
    worker: str | None = None
    parent: str | None = None
    external_id: str | None = None
    payload: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    ended_since: datetime | None = None
    ended_until: datetime | None = None

    @property
    def is_about_ends(self) -> bool:
        """Whether only jobs that have ended can match by their times."""
        return self.ended_since is not None or self.ended_until is not None


def add_conditions(statement: Select[Any], job_filter: JobFilter) -> Select[Any]:
    """Add the conditions of a filter to a query of jobs.

    Of `payload` they only rule out jobs that cannot match; `matches_payload` decides about the others.
    """
    return statement.where(*_conditions(job_filter))


def _conditions(job_filter: JobFilter) -> Iterator[ColumnElement[bool]]:
    if job_filter.status:
        yield job.c.status.in_(job_filter.status)
    equal = {
        "task": job_filter.task,
        "queue": job_filter.queue,
        "failure_cause": job_filter.cause,
        "failure_type": job_filter.error,
        "parent": job_filter.parent,
        "external_id": job_filter.external_id,
    }
    for name, value in equal.items():
        if value is not None:
            yield job.c[name] == value
    if job_filter.tag is not None:
        yield job.c.id.in_(select(tag.c.job_id).where(tag.c.tag == job_filter.tag))
    if job_filter.text is not None:
        yield job.c.failure_message.icontains(job_filter.text, autoescape=True)
    if job_filter.worker is not None:
        prefix = f"{job_filter.worker}/"  # not with LIKE, to which upper and lower case are one on SQLite
        has_prefix = func.substr(job.c.worker, 1, len(prefix)) == prefix
        yield (job.c.worker == job_filter.worker) | has_prefix
    if job_filter.since is not None:
        yield job.c.created_at >= job_filter.since
    if job_filter.until is not None:
        yield job.c.created_at < job_filter.until
    yield from ended_between(job_filter)
    for path, value in job_filter.payload.items():
        if plain := _certain_part(value):
            yield job.c.payload.contains(plain, autoescape=True)
        for name in path.split("."):
            if name.isascii() and name.isidentifier():  # JSON never escapes these names
                yield job.c.payload.contains(f'"{name}"', autoescape=True)


def ended_between(job_filter: JobFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on the time of the end."""
    if job_filter.ended_since is not None:
        yield job.c.finished_at >= job_filter.ended_since
    if job_filter.ended_until is not None:
        yield job.c.finished_at < job_filter.ended_until


def _certain_part(value: str) -> str:
    # What stands in every payload that has the value.
    if _number_in(value) is None:
        # Other characters may be escaped.
        parts = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in value).split()
        return max(parts, key=len, default="")
    # 12300 may be written as 1.23e4.
    return value.rstrip("0")[1:] if value.isdecimal() else ""


def matches_payload(payload: str, fields: Mapping[str, str]) -> bool:
    """Tell whether a payload has these values; one in the file store is not fetched, and does not."""
    if is_check(payload):
        return False
    document = _read_json(payload)
    return all(
        any(_is_value(node, value) for node in _nodes_at(document, path.split(".")))
        for path, value in fields.items()
    )


def _nodes_at(node: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for element in node:
            yield from _nodes_at(element, path)
    elif path:
        if isinstance(node, dict) and path[0] in node:
            yield from _nodes_at(node[path[0]], path[1:])
    elif not isinstance(node, dict):
        yield node


def _is_value(node: Any, value: str) -> bool:
    match node:
        case str():
            return node == value
        case Decimal():
            return node == _number_in(value)
    return json.dumps(node) == value  # true, false or null


def _number_in(value: str) -> Decimal | None:
    try:
        number = _read_json(value)
    except ValueError:
        return None
    return number if isinstance(number, Decimal) else None


def _read_json(text: str) -> Any:
    return json.loads(text, parse_int=_as_number, parse_float=_as_number)


def _as_number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except ArithmeticError:  # an exponent of more than 18 digits
        return text
