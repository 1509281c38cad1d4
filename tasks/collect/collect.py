"""Fetches a page politely, stores it as a file, and parses its content."""

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
from tasks.collect.politeness import wait_for_host
from tasks.collect.robots import crawl_delay


async def collect(payload: Collect) -> Collected:
    """Fetch, parse and store a page; raises the errors of `fetch`, and `Discard` for an unreadable page."""
    settings, requested_hosts = get_section(CollectSettings), set[str]()

    async def before_request(url: httpx.URL) -> None:
        host = url.netloc.decode()
        pause = await crawl_delay(url, settings) if payload.respect_robots else settings.host_interval
        # A redirect within a host needs no second reservation: if the job were put off for one, it would
        # start again with its first request, and never finish.
        if host not in requested_hosts:
            await wait_for_host(host, current_job().job_id, pause)
            requested_hosts.add(host)

    fetched = await fetch(payload.url, settings, headers=_conditions(payload), before_request=before_request)
    return await asyncio.to_thread(_parse_and_store, payload, fetched)


def _conditions(payload: Collect) -> dict[str, str]:
    headers = {"If-None-Match": payload.etag, "If-Modified-Since": payload.last_modified}
    return {name: value for name, value in headers.items() if value}


def _parse_and_store(payload: Collect, fetched: Fetched) -> Collected:
    not_modified = fetched.status == HTTPStatus.NOT_MODIFIED
    kind = kind_of(fetched) if payload.kind is Kind.AUTO else payload.kind
    try:
        parsed = None if not_modified else parse(fetched, kind)
    except UnreadableError as error:
        raise Discard(f"{fetched.url} cannot be read as {kind}: {error}") from error
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
