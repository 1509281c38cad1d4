"""Fetches a page politely, keeps it as a file, and reads what it says."""

import asyncio
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from config.settings import CollectSettings
from jobyard import Discard, current_job, get_files, get_section
from jobyard.fetching.fetch import Fetched, fetch
from tasks.collect.documents import Kind
from tasks.collect.parsing import UnreadableError, kind_of, parse
from tasks.collect.payload import Collect, Collected
from tasks.collect.politeness import wait_for_turn
from tasks.collect.robots import crawl_delay


async def collect(order: Collect) -> Collected:
    """Fetch, keep and read a page; raises what a fetch raises, and `Discard` for one that cannot be read."""
    settings, asked = get_section(CollectSettings), set[str]()

    async def gate(url: httpx.URL) -> None:
        host = url.netloc.decode()
        pause = await crawl_delay(url, settings) if order.respect_robots else settings.host_interval
        # A redirect within a host belongs to the same turn: put off for a second one, the job would
        # begin again with its first request, and never come to the end.
        if host not in asked:
            await wait_for_turn(host, current_job().job_id, pause)
            asked.add(host)

    fetched = await fetch(order.url, settings, headers=_conditions(order), gate=gate)
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
