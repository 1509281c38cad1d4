"""Counts the jobs of a filter, and streams them as NDJSON or CSV, however many there are."""

import csv
import io
from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from typing import Annotated, Final

import pydantic_core
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from jobyard.http.filters import PAYLOAD_PARAMETER, PayloadConditions, StatusQuery, as_filter
from jobyard.http.operation import headers
from jobyard.http.parts import TheParts
from jobyard.http.schemas import View
from jobyard.http.searches import run_search
from jobyard.http.whole_job import load_whole_job
from jobyard.jobs.job import Job
from jobyard.jobs.reading.search import count_jobs, each_page
from jobyard.jobs.retry import shown_max_attempts

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

PAGE: Final = 500
COLUMNS: Final = (
    *("id", "task", "queue", "priority", "status", "attempt", "max_attempts", "lost", "replays", "tags"),
    *(
        "unique_key",
        "parent",
        "external_id",
        "created_at",
        "run_at",
        "expires_at",
        "started_at",
        "finished_at",
        "worker",
    ),
    *("failure_cause", "failure_type", "failure_message", "payload", "result"),
)


class ExportFormat(StrEnum):
    NDJSON = "ndjson"
    CSV = "csv"


MEDIA_TYPES: Final = {
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8",
}


class ExportQuery(StatusQuery):
    """A filter for jobs, and the format of the export."""

    format: ExportFormat = ExportFormat.NDJSON


class CountView(View):
    """How many jobs match a filter."""

    jobs: int
    is_exact: bool = Field(
        description="False beyond about 10,000: then `jobs` is PostgreSQL's estimate, or on SQLite the count "
        "at its time limit."
    )


@router.get("/count", operation_id="count_jobs", openapi_extra=PAYLOAD_PARAMETER)
async def count(
    parts: TheParts, query: Annotated[StatusQuery, Query()], payload: PayloadConditions
) -> CountView:
    """How many jobs match a filter; `is_exact` tells whether many jobs were only estimated."""
    job_filter = as_filter(query, *query.status, payload=payload)
    return CountView.model_validate(await run_search(count_jobs, parts.ledger.database, job_filter))


@router.get(
    "/export",
    operation_id="export_jobs",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The jobs, one per line.",
            "content": {
                MEDIA_TYPES[ExportFormat.NDJSON]: {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
            "headers": headers("Content-Disposition"),
        }
    },
    openapi_extra=PAYLOAD_PARAMETER,
)
def export(
    parts: TheParts, query: Annotated[ExportQuery, Query()], payload: PayloadConditions
) -> StreamingResponse:
    """Every job that matches a filter, newest first, one per line, with payload and result.

    An error in the middle breaks the connection, so a truncated export never looks complete.
    """
    pages = each_page(parts.ledger.database, as_filter(query, *query.status, payload=payload), PAGE)
    first = next(pages)  # read before the answer starts, so that an error can still change its status
    lines = _WRITERS[query.format](chain([first], pages))
    headers = {"Content-Disposition": f'attachment; filename="jobs.{query.format}"'}
    return StreamingResponse(lines, headers=headers, media_type=MEDIA_TYPES[query.format])


def _as_ndjson(pages: Iterator[list[Job]]) -> Iterator[bytes]:
    for page in pages:
        yield b"".join(_ndjson_line(load_whole_job(job)) for job in page)


def _ndjson_line(job: Job) -> bytes:
    # Payload and result are JSON already.
    fields = pydantic_core.to_json({name: _value(job, name) for name in COLUMNS[:-2]})
    result = job.result if job.result is not None else "null"
    return fields[:-1] + f',"payload":{job.payload},"result":{result}}}\n'.encode()


def _as_csv(pages: Iterator[list[Job]]) -> Iterator[bytes]:
    yield _csv_lines([COLUMNS])
    for page in pages:
        yield _csv_lines([_csv_row(load_whole_job(job)) for job in page])


def _csv_row(job: Job) -> tuple[object, ...]:
    values = (_value(job, name) for name in COLUMNS)
    return tuple(_cell(",".join(value) if isinstance(value, tuple) else value) for value in values)


def _cell(value: object) -> object:
    # A spreadsheet would run the text of a caller that begins like this as a formula.
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def _csv_lines(rows: list[tuple[object, ...]]) -> bytes:
    sheet = io.StringIO(newline="")
    csv.writer(sheet).writerows(rows)  # RFC 4180
    return sheet.getvalue().encode()


def _value(job: Job, name: str) -> object:
    if name.startswith("failure_"):
        return getattr(job.failure, name.removeprefix("failure_"), None)
    value = getattr(job, name)
    if name == "max_attempts":
        return shown_max_attempts(job.max_attempts)
    return value.isoformat() if name.endswith("_at") and value is not None else value


_WRITERS: Final = {ExportFormat.NDJSON: _as_ndjson, ExportFormat.CSV: _as_csv}
