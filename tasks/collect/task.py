"""`page.collect`: fetches a page, keeps it as a file, and reads what it says."""

import asyncio
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, ConfigDict, Field

from jobyard.fetching.fetch import Fetched, TemporaryFetchError, checked_url, fetch
from jobyard.fetching.guard import literal_address, may_connect, refusal
from jobyard.jobs.errors import Discard
from jobyard.jobs.files.store import get_files
from jobyard.settings.queues import Queue
from jobyard.settings.settings import get_settings
from jobyard.tasks.context import current_job
from jobyard.tasks.payload import Payload
from jobyard.tasks.task import task
from tasks.collect.parsing import Kind, Parsed, UnreadableError, kind_of, parse
from tasks.collect.politeness import wait_for_turn
from tasks.collect.robots import crawl_delay


def _page_url(text: str) -> str:
    # What is plain from the URL itself is said at once; names are judged when they are connected to.
    url = checked_url(text)
    address = literal_address(url.host)
    port = url.port or (443 if url.scheme == "https" else 80)
    if address is not None and not may_connect(address, port, get_settings().collect.allow):
        raise ValueError(refusal(url.host, address))
    return text


PageUrl = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_page_url)]
HeaderValue = Annotated[str, Field(max_length=500, pattern=r"^[\x20-\x7e]*$")]


class Collect(Payload):
    """What to fetch, and how to read it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://example.org/"}]})

    url: PageUrl
    kind: Kind = Kind.AUTO
    respect_robots: bool = True
    etag: HeaderValue | None = Field(
        None, description="Of the last time: an unchanged page is not sent again."
    )
    last_modified: HeaderValue | None = Field(None, description="Of the last time, as the server wrote it.")


class Collected(Payload):
    """The page as it came: `file` holds the whole body, `parsed` what fits of its content."""

    url: str
    status: int
    redirects: tuple[str, ...]
    not_modified: bool
    kind: Kind
    media_type: str
    etag: str | None
    last_modified: str | None
    size: int
    file: str | None
    parsed: Parsed | None


@task(
    "page.collect",
    queue=Queue.COLLECT,
    autoretry_for=(TemporaryFetchError,),
    max_retries=4,
    retry_backoff=2,
    retry_backoff_max=600,
    time_limit=90,
)
async def collect_page(order: Collect) -> Collected:
    """Fetch a page: public addresses only, robots.txt respected, one request at a time to each host."""

    asked: set[str] = set()

    async def gate(url: httpx.URL) -> None:
        settings, host = get_settings().collect, url.netloc.decode()
        pause = await crawl_delay(url, settings) if order.respect_robots else settings.host_interval
        # A redirect within a host belongs to the same turn: put off for a second one, the job would
        # begin again with its first request, and never come to the end.
        if host not in asked:
            await wait_for_turn(host, current_job().job_id, pause)
            asked.add(host)

    fetched = await fetch(
        order.url, max_bytes=get_settings().collect.max_bytes, headers=_conditions(order), gate=gate
    )
    return await asyncio.to_thread(_keep, order, fetched)


def _conditions(order: Collect) -> dict[str, str]:
    named = {"If-None-Match": order.etag, "If-Modified-Since": order.last_modified}
    return {name: value for name, value in named.items() if value}


def _keep(order: Collect, fetched: Fetched) -> Collected:
    not_modified = fetched.status == HTTPStatus.NOT_MODIFIED
    kind = kind_of(fetched) if order.kind is Kind.AUTO else order.kind
    try:
        parsed = None if not_modified else parse(fetched, kind)
    except UnreadableError as error:
        raise Discard(f"{fetched.url} was to be read as {kind}: {error}") from error
    name = urlsplit(fetched.url).path.rpartition("/")[2] or "index"
    stored = (
        None if not_modified else get_files().save(fetched.body, name=name, media_type=fetched.media_type)
    )
    return Collected(
        url=fetched.url,
        status=fetched.status,
        redirects=fetched.redirects,
        not_modified=not_modified,
        kind=kind,
        media_type=fetched.media_type,
        etag=fetched.headers.get("etag"),
        last_modified=fetched.headers.get("last-modified"),
        size=len(fetched.body),
        file=stored.id if stored else None,
        parsed=parsed,
    )
