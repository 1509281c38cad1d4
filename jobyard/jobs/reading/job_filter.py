"""What a search looks for, and the conditions that it adds to a query."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from jobyard.jobs.database.schema import job, tag
from jobyard.jobs.files.claim_checks import is_check
from jobyard.jobs.job import Cause, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to find; a field that is None or empty is no condition.

    `error` is the class of the last failure, and `text` a part of its message, in upper or lower case.
    `worker` is a worker's name, with or without the process. `since` and `until` limit the time of
    acceptance. `payload` has the values of fields, as text, by path (`to`, `options.size`); of a list, one
    element has to match.
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
    payload: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None


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
    }
    for name, value in equal.items():
        if value is not None:
            yield job.c[name] == value
    if job_filter.tag is not None:
        yield job.c.id.in_(select(tag.c.job_id).where(tag.c.tag == job_filter.tag))
    if job_filter.text is not None:
        yield job.c.failure_message.icontains(job_filter.text, autoescape=True)
    if job_filter.worker is not None:
        with_process = job.c.worker.startswith(f"{job_filter.worker}/", autoescape=True)
        yield (job.c.worker == job_filter.worker) | with_process
    if job_filter.since is not None:
        yield job.c.created_at >= job_filter.since
    if job_filter.until is not None:
        yield job.c.created_at < job_filter.until
    for path, value in job_filter.payload.items():
        if plain := _longest_plain_part(value):
            yield job.c.payload.contains(plain, autoescape=True)
        for name in path.split("."):
            if name.isascii() and name.isidentifier():  # JSON never escapes these names
                yield job.c.payload.contains(f'"{name}"', autoescape=True)


def _longest_plain_part(value: str) -> str:
    # The part that every JSON writer leaves as it is: other characters may be escaped.
    parts = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in value).split()
    return max(parts, key=len, default="")


def matches_payload(payload: str, fields: Mapping[str, str]) -> bool:
    """Tell whether a payload has these values; one in the file store is not fetched, and does not."""
    if is_check(payload):
        return False
    document = json.loads(payload)
    return all(value in _texts_at(document, path.split(".")) for path, value in fields.items())


def _texts_at(node: Any, path: list[str]) -> Iterator[str]:
    if isinstance(node, list):
        for element in node:
            yield from _texts_at(element, path)
    elif path:
        if isinstance(node, dict) and path[0] in node:
            yield from _texts_at(node[path[0]], path[1:])
    elif not isinstance(node, dict):
        yield node if isinstance(node, str) else json.dumps(node)
